//! Lines read back by a strict reader: unknown members and numbers without quotes are errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::output::table::Output;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LogsData {
    resource_logs: [ResourceLogs; 1],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourceLogs {
    resource: Resource,
    scope_logs: [ScopeLogs; 1],
    schema_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScopeLogs {
    scope: Scope,
    log_records: [LogRecord; 1],
    schema_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LogRecord {
    time_unix_nano: Option<String>,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: String,
    event_name: Option<String>,
    body: Option<AnyValue>,
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List<T> {
    values: Vec<T>,
}

/// One member at most.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<String>,
    double_value: Option<f64>,
    bytes_value: Option<String>,
    array_value: Option<List<AnyValue>>,
    kvlist_value: Option<List<KeyValue>>,
}

impl AnyValue {
    /// As JSON has it: bytes as `{"bytes": …}`.
    fn json(&self) -> Value {
        let mut values = Vec::new();
        values.extend(self.string_value.as_ref().map(|text| json!(text)));
        values.extend(self.bool_value.map(|value| json!(value)));
        values.extend(self.int_value.as_ref().map(|text| json!(text.parse::<i64>().unwrap())));
        values.extend(self.double_value.map(|value| json!(value)));
        values.extend(self.bytes_value.as_ref().map(|text| {
            assert!(STANDARD.decode(text).is_ok());
            json!({ "bytes": text })
        }));
        let list = self.array_value.as_ref();
        values.extend(list.map(|list| list.values.iter().map(AnyValue::json).collect()));
        values.extend(self.kvlist_value.as_ref().map(|list| object(&list.values)));
        assert!(values.len() <= 1, "{self:?}");
        values.pop().unwrap_or_default()
    }
}

/// Attributes as an object; each key comes once.
fn object(attributes: &[KeyValue]) -> Value {
    let mut object = Map::new();
    for KeyValue { key, value } in attributes {
        assert!(object.insert(key.clone(), value.json()).is_none(), "{key} comes twice");
    }
    Value::Object(object)
}

/// What lines of JSON become.
fn encode(lines: &[&Value]) -> Vec<LogsData> {
    let mut encoder = Encoder::new("execsnoop");
    let mut out = Vec::new();
    for line in lines {
        encoder.lines(&mut out, |out| out.extend_from_slice(line.to_string().as_bytes()));
        encoder.lines(&mut out, |out| out.push(b'\n'));
    }
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), lines.len());
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| line.as_bytes().starts_with(BEGINNING)));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Likewise of one line.
fn record(line: &Value) -> LogRecord {
    let [LogsData { resource_logs: [logs] }] = encode(&[line]).try_into().unwrap();
    let [ScopeLogs { log_records: [record], .. }] = logs.scope_logs;
    record
}

#[test]
fn attributes_have_types_and_names() {
    let line = json!({
        "timestamp": "2026-01-31T12:00:01.500000007Z",
        "event": { "name": "process.exec" },
        "process": {
            "pid": 7, "comm": "l\u{fffd}", "comm_base64": "bP8=", "interactive": false,
            "command_args": ["ls", "\u{fffd}"], "command_args_base64": ["bHM=", "/w=="],
            "environment_variable": { "A.b": "1", "x_base64": "no bytes", "": "z" },
            "ancestors": [{ "pid": 3, "creation": { "time": "t" }, "comm_base64": "/w==" }],
            "start_boot_ns": u64::MAX, "nothing": null, "share": 0.5, "code": -3
        },
        "container": { "label": { "app": "x", "a.b_base64": "y" } }
    });
    let record = record(&line);
    assert_eq!(record.time_unix_nano.as_deref(), Some("1769860801500000007"));
    assert!(record.observed_time_unix_nano.parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
    assert_eq!(record.event_name.as_deref(), Some("snoop.process.exec"));
    assert_eq!((record.severity_number, record.severity_text.as_str()), (9, "INFO"));
    assert!(record.body.is_none());
    let expected = json!({
        "process.pid": 7, "snoop.process.comm": "l\u{fffd}",
        "snoop.process.comm_raw": { "bytes": "bP8=" }, "process.interactive": false,
        "process.command_args": ["ls", "\u{fffd}"],
        "snoop.process.command_args_raw": [{ "bytes": "bHM=" }, { "bytes": "/w==" }],
        "process.environment_variable.A.b": "1",
        "process.environment_variable.x_base64": "no bytes",
        "process.environment_variable.": "z",
        "snoop.process.ancestors":
            [{ "pid": 3, "creation": { "time": "t" }, "comm_raw": { "bytes": "/w==" } }],
        "snoop.process.start_boot_ns": u64::MAX.to_string(), "snoop.process.share": 0.5,
        "snoop.process.code": -3, "container.label.app": "x", "container.label.a.b_base64": "y"
    });
    assert_eq!(object(&record.attributes), expected);
}

#[test]
fn the_machine_is_the_resource() {
    let start = json!({
        "timestamp": "2026-01-31T12:00:00Z", "event": { "name": "trace.start" }, "schema": 2,
        "tool": "execsnoop", "version": "0.0.7", "flags": ["json"], "kernel": "6.18",
        "host": { "name": "h", "id": "1", "arch": "arm64", "boot": { "id": "b" } }
    });
    let event = json!({ "event": { "name": "process.exec" }, "process": { "pid": 1 } });
    let lines = encode(&[&event, &start, &event]);
    let of = |at: usize| object(&lines[at].resource_logs[0].resource.attributes);
    let before = json!({ "service.name": "execsnoop",
        "service.version": env!("CARGO_PKG_VERSION"), "os.type": "linux" });
    assert_eq!(of(0), before);
    let whole = json!({ "service.name": "execsnoop", "service.version": "0.0.7",
        "os.type": "linux", "host.name": "h", "host.id": "1", "host.arch": "arm64",
        "snoop.host.boot.id": "b" });
    assert_eq!((of(1), of(2)), (whole.clone(), whole));
    let ResourceLogs { schema_url, scope_logs: [logs], .. } = &lines[1].resource_logs[0];
    assert_eq!((schema_url.as_str(), logs.schema_url.as_str()), (SCHEMA_URL, SCHEMA_URL));
    assert_eq!((logs.scope.name.as_str(), logs.scope.version.as_str()), ("snoop-tools", "0.0.7"));
    let said = object(&logs.log_records[0].attributes);
    let expected = json!({ "snoop.schema": 2, "snoop.flags": ["json"], "snoop.kernel": "6.18" });
    assert_eq!(said, expected);
}

#[test]
fn failures_are_warnings() {
    let failed = json!({ "outcome": "failed" });
    for (event, more, is_warning) in [
        ("process.exec", json!({}), false),
        ("process.exec_failed", json!({ "error": { "type": "ENOENT" } }), true),
        ("process.exit", json!({ "process": { "exit": { "code": 0 } } }), false),
        ("process.exit", json!({ "process": { "exit": { "code": 1 } } }), true),
        ("process.exit", json!({ "process": { "exit": { "signal": "SIGKILL" } } }), true),
        ("network.connect", json!({ "connect": { "outcome": "established" } }), false),
        ("network.connect", json!({ "connect": { "outcome": "aborted" } }), true),
        ("network.connect", json!({ "connect": failed }), true),
        (
            "network.connect",
            json!({ "connect": { "superseded": true, "outcome": "failed" } }),
            false,
        ),
        ("signal.sent", json!({ "signal": { "result": "delivered" } }), false),
        ("signal.sent", json!({ "signal": { "result": "EPERM" } }), true),
        ("memory.break", json!({ "brk": { "refused": true } }), true),
        ("events.lost", json!({ "count": 1 }), true),
        ("trace.end", json!({ "events": 3, "lost": 0 }), false),
        ("trace.end", json!({ "events": 3, "lost": 1 }), true),
        ("trace.status", json!({ "lost": 0, "output": { "failure": "full" } }), true),
        ("process.exec", json!({ "process": { "environment_variable": { "lost": "1" } } }), false),
    ] {
        let mut line = json!({ "event": { "name": event } });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let expected = if is_warning { (13, "WARN") } else { (9, "INFO") };
        let record = record(&line);
        assert_eq!((record.severity_number, &*record.severity_text), expected, "{line}");
    }
}

#[test]
fn messages_are_bodies() {
    let line = json!({ "event": { "name": "bpf.printk" }, "message": "hi", "cpu": { "logical_number": 1 } });
    let record = record(&line);
    assert_eq!(record.body.unwrap().json(), "hi");
    assert_eq!(object(&record.attributes), json!({ "cpu.logical_number": 1 }));
}

#[test]
fn names_that_others_choose_collide_with_none() {
    let data = json!({ "a.b": 1, "a": { "b": 2, "c_base64": "x" }, "l": [{ "d_base64": "y" }] });
    let line = json!({ "event": { "name": "bpf.event" }, "data": data, "values": [data] });
    let expected = json!({ "snoop.data": data, "snoop.values": [data] });
    assert_eq!(object(&record(&line).attributes), expected);
}

#[test]
fn a_line_that_is_none_is_kept() {
    let mut out = Vec::new();
    Encoder::new("x").lines(&mut out, |out| out.extend_from_slice(b"\xff[1]\n"));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#""body":{"stringValue":""#), "{text}");
    serde_json::from_str::<LogsData>(&text).unwrap();
}

#[test]
fn an_output_writes_one_or_the_other() {
    let line = json!({ "event": { "name": "x" }, "a": [1] });
    let mut plain = Output::new(true);
    assert_eq!(plain.encoded(b"{}\n".to_vec()), b"{}\n");
    plain.object(&line).unwrap();
    let mut otlp = Output::new(true);
    otlp.encode_as_otlp("x");
    assert!(otlp.encoded(b"{}\n".to_vec()).starts_with(BEGINNING));
    otlp.object(&line).unwrap();
    assert!(otlp.bytes() > plain.bytes() && plain.bytes() == line.to_string().len() + 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        "\\PC*".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What attributes a member is expected to be.
fn flat(path: &str, value: &Value, all: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flat(&format!("{path}.{name}"), value, all);
            }
        }
        _ => _ = all.insert(format!("snoop.{path}"), inner(value)),
    }
}

/// Numbers beyond the range are strings.
fn inner(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            number.to_string().into()
        }
        Value::Array(items) => items.iter().map(inner).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), inner(value))).collect()
        }
        _ => value.clone(),
    }
}

proptest! {
    #[test]
    fn every_value_comes_back(value in any_json()) {
        let line = json!({ "event": { "name": "e" }, "x": value });
        let mut expected = Map::new();
        flat("x", &value, &mut expected);
        prop_assert_eq!(object(&record(&line).attributes), Value::Object(expected));
    }

    #[test]
    fn no_text_breaks_a_line(text: String) {
        let line = json!({ "event": { "name": text }, "process": { "comm": text } });
        let record = record(&line);
        prop_assert_eq!(record.event_name, (!text.is_empty()).then(|| format!("snoop.{text}")));
        prop_assert_eq!(object(&record.attributes), json!({ "snoop.process.comm": text }));
    }
}
