#!/usr/bin/env python3
"""Configurations of packaging/fleet whose engines cannot be had here: each key has to be one of the
engine's reference, each part that is used has to be defined, and the VRL program is run."""

import json
import pathlib
import socket
import sys

import pyvrl
import yaml

FLEET = pathlib.Path(__file__).resolve().parents[2] / "packaging/fleet"


class Strict(yaml.SafeLoader):
    """A key that comes twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys} {node.start_mark}"
        return super().construct_mapping(node, deep)


def words(text):
    return set(text.split())


def read(name):
    return yaml.load((FLEET / name).read_text(), Strict)


def keys(where, mapping, known, needed=""):
    assert isinstance(mapping, dict), f"{where}: {mapping!r}"
    unknown, missing = mapping.keys() - words(known), words(needed) - mapping.keys()
    assert not unknown and not missing, f"{where}: unknown {sorted(unknown)}, missing {sorted(missing)}"


# https://vector.dev/docs/reference/configuration/sources/file, …/transforms/remap, …/sinks/clickhouse
VECTOR = {
    ("sources", "file"): """type include exclude acknowledgements data_dir encoding file_key fingerprint
        glob_minimum_cooldown_ms host_key ignore_checkpoints ignore_not_found ignore_older_secs internal_metrics
        line_delimiter max_line_bytes max_read_bytes multiline offset_key oldest_first read_from
        remove_after_secs rotate_wait_secs""",
    ("transforms", "remap"): """type inputs source file files drop_on_abort drop_on_error reroute_dropped metric_tag_values
        timezone runtime graph""",
    ("sinks", "clickhouse"): """type inputs endpoint database table format acknowledgements auth batch buffer compression
        date_time_best_effort encoding healthcheck insert_random_shard query_settings request
        skip_unknown_fields tls proxy graph batch_encoding""",
}


def check_vector():
    config = read("vector.yaml")
    keys("vector", config, "sources transforms sinks data_dir acknowledgements", "sources transforms sinks")
    names = {name for kind in ("sources", "transforms") for name in config[kind]}
    for kind in "sources", "transforms", "sinks":
        for name, part in config[kind].items():
            known = VECTOR.get((kind, part["type"]))
            assert known, f"vector: {kind}: no {part['type']}"
            keys(f"vector: {name}", part, known, "type" if kind == "sources" else "type inputs")
            assert set(part.get("inputs", [])) <= names, f"vector: {name}: {part['inputs']}"
    sink = config["sinks"]["clickhouse"]
    assert sink["format"] in words("json_each_row json_as_object json_as_string arrow_stream")
    keys("vector: batch", sink["batch"], "max_bytes max_events timeout_secs")
    assert config["sources"]["snoop"]["read_from"] in words("beginning end")
    assert f"CREATE TABLE IF NOT EXISTS {sink['table']}\n" in (FLEET / "clickhouse.sql").read_text()
    check_vrl(config["transforms"]["records"]["source"])


def check_vrl(source):
    """The program, as Vector would run it on a line."""
    record = {"timestamp": "2026-01-31T00:00:00.000000001Z", "event": {"name": "process.exec"},
              "process": {"pid": 7, "command_args": ["a", "é\n"]}}
    # (Here the last expression is the result, in Vector the event is.)
    made = pyvrl.Transform(source + "\n.").remap({"message": json.dumps(record), "file": "/var/log/snoop/x.jsonl"})
    assert made == {**record, "host": {"name": socket.gethostname()}}, made
    print("grammar: vector.yaml: keys are known, its VRL program runs; Vector itself was not run")


# https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/yaml and the plugins' pages
FLUENT = {
    "service": """flush grace log_level daemon http_server http_listen http_port parsers_file plugins_file
        storage.path storage.sync storage.checksum storage.max_chunks_up storage.backlog.mem_limit storage.metrics""",
    "parsers": "name format regex time_key time_format time_keep time_offset time_strict types decode_field",
    ("inputs", "tail"): """name tag path path_key exclude_path offset_key read_from_head refresh_interval rotate_wait
        ignore_older skip_long_lines skip_empty_lines db db.sync db.locking db.journal_mode mem_buf_limit
        exit_on_eof parser key inotify_watcher tag_regex static_batch_size buffer_chunk_size buffer_max_size
        multiline.parser storage.type threaded processors alias""",
    ("filters", "nest"): "name match operation wildcard nest_under nested_under add_prefix remove_prefix",
    ("filters", "record_modifier"): "name match record remove_key allowlist_key whitelist_key uuid_key",
    ("outputs", "http"): """name match host http_user http_passwd port proxy compress uri format allow_duplicated_headers
        header json_date_key json_date_format workers tls retry_limit storage.total_limit_size alias""",
}


def check_fluent_bit():
    config = read("fluent-bit.yaml")
    keys("fluent-bit", config, "service parsers pipeline env includes plugins multiline_parsers", "pipeline")
    keys("fluent-bit: service", config["service"], FLUENT["service"])
    for parser in config["parsers"]:
        keys("fluent-bit: parsers", parser, FLUENT["parsers"], "name format")
    keys("fluent-bit: pipeline", config["pipeline"], "inputs filters outputs", "inputs outputs")
    tags = {part["tag"] for part in config["pipeline"]["inputs"]}
    for kind, parts in config["pipeline"].items():
        for part in parts:
            known = FLUENT.get((kind, part["name"]))
            assert known, f"fluent-bit: {kind}: no {part['name']}"
            keys(f"fluent-bit: {part['name']}", part, known, "name tag" if kind == "inputs" else "name match")
            assert kind == "inputs" or part["match"] in tags, part
            assert part.get("parser") in (None, *(parser["name"] for parser in config["parsers"]))
    print("grammar: fluent-bit.yaml: keys are known; Fluent Bit itself was not run")


# README.md of each component in opentelemetry-collector(-contrib)
FILES = """include exclude exclude_older_than start_at multiline force_flush_period encoding preserve_leading_whitespaces
    preserve_trailing_whitespaces include_file_name include_file_path include_file_name_resolved
    include_file_path_resolved include_file_owner_name include_file_owner_group_name include_file_record_number
    include_file_record_offset poll_interval fingerprint_size initial_buffer_size max_log_size
    max_concurrent_files max_batches delete_after_read acquire_fs_lock attributes resource operators storage header
    retry_on_failure ordering_criteria compression polls_to_archive on_truncate"""
OTEL = {
    ("receivers", "filelog"): FILES,
    ("receivers", "file_log"): FILES,
    ("receivers", "otlpjsonfile"): FILES + " replay_file",
    ("receivers", "otlp_json_file"): FILES + " replay_file",
    ("processors", "resourcedetection"): "detectors override attributes timeout system env",
    ("processors", "resource"): "attributes",
    ("processors", "transform"): "error_mode flatten_data trace_statements metric_statements log_statements profile_statements",
    ("processors", "batch"): "send_batch_size timeout send_batch_max_size metadata_keys metadata_cardinality_limit",
    ("processors", "memory_limiter"): "check_interval limit_mib spike_limit_mib limit_percentage spike_limit_percentage",
    ("exporters", "otlp"): "endpoint tls headers compression sending_queue retry_on_failure timeout keepalive auth balancer_name",
    ("exporters", "otlp_grpc"): "endpoint tls headers compression sending_queue retry_on_failure timeout keepalive auth balancer_name",
    ("exporters", "otlphttp"): "endpoint logs_endpoint tls headers compression sending_queue retry_on_failure timeout encoding auth",
    ("extensions", "file_storage"): "directory timeout compaction fsync create_directory directory_permissions recreate",
}
OPERATORS = {
    "json_parser": "type id output parse_from parse_to on_error if timestamp severity body attributes resource parse_ints",
    "container": "type id output format add_metadata_from_filepath max_log_size on_error if",
    "remove": "type id output field on_error if",
    "move": "type id output from to on_error if",
    "add": "type id output field value on_error if",
}


def check_otel():
    config = read("otel-collector.yaml")
    kinds = "receivers processors exporters extensions"
    keys("otel", config, kinds + " connectors service", "receivers exporters service")
    for kind in kinds.split():
        for name, part in (config.get(kind) or {}).items():
            known = OTEL.get((kind, name.split("/")[0]))
            assert known, f"otel: {kind}: no {name}"
            keys(f"otel: {name}", part or {}, known)
            for operator in (part or {}).get("operators", []):
                keys(f"otel: {operator['type']}", operator, OPERATORS[operator["type"]])
    service = config["service"]
    keys("otel: service", service, "pipelines extensions telemetry", "pipelines")
    used = {("extensions", name) for name in service.get("extensions", [])}
    for name, pipeline in service["pipelines"].items():
        assert name.split("/")[0] in words("logs metrics traces profiles"), name
        keys(f"otel: {name}", pipeline, "receivers processors exporters", "receivers exporters")
        used |= {(kind, part) for kind, parts in pipeline.items() for part in parts}
    defined = {(kind, name) for kind in kinds.split() for name in config.get(kind) or {}}
    assert used == defined, f"otel: {sorted(used ^ defined)}: not used, or not defined"
    print("grammar: otel-collector.yaml: keys are known; the Collector itself was not run")


def main():
    check_vector()
    check_fluent_bit()
    check_otel()
    assert {file.name for file in FLEET.glob("*.yaml")} == {"vector.yaml", "fluent-bit.yaml", "otel-collector.yaml"}


sys.exit(main())
