-- JSON Lines of the tools in DuckDB, as they lie in files of one or many machines, old ones and
-- compressed ones too:
--
--     duckdb -init duckdb.sql
--
-- Only the keys that the queries below use are declared; add others as each tool's page has
-- them. Keys that a record lacks are NULL.

SET VARIABLE snoop_files = '/var/log/snoop/*.jsonl*';
-- As rsyslog-server.conf stores them:
-- SET VARIABLE snoop_files = '/srv/snoop/host=*/day=*/*.jsonl*';

-- Each line of a file once: no two lines of a run are the same, so what is the same came twice on
-- its way here. Machine and tool are in the name of a file that was collected; such a condition
-- (host_of_path = 'a' AND day = '2026-01-31') keeps DuckDB from reading the other files.
-- Half a line, as the last one of a file that is just being received, is a record without anything:
-- those WHERE event IS NULL.
CREATE OR REPLACE VIEW records AS
WITH lines AS (
    SELECT DISTINCT json, filename
    FROM read_ndjson_objects(getvariable('snoop_files'), filename = true, ignore_errors = true)
)
SELECT filename,
    nullif(regexp_extract(filename, '/host=([^/]+)/', 1), '') AS host_of_path,
    nullif(regexp_extract(filename, '/day=([^/]+)/', 1), '') AS day,
    regexp_extract(filename, '([a-z0-9-]+)\.jsonl[^/]*$', 1) AS tool,
    unnest(from_json(json, '{
        "timestamp": "VARCHAR",
        "event": {"name": "VARCHAR"},
        "host": {"name": "VARCHAR"},
        "events": "UBIGINT",
        "lost": "UBIGINT",
        "container": {"id": "VARCHAR"},
        "process": {
            "pid": "UINTEGER", "parent_pid": "UINTEGER", "comm": "VARCHAR",
            "start_boot_ns": "UBIGINT",
            "user": {"id": "UINTEGER"}, "linux": {"cgroup": "VARCHAR"},
            "command_args": ["VARCHAR"],
            "exit": {"code": "UTINYINT", "signal": "VARCHAR"}, "duration_ns": "UBIGINT"},
        "network": {"peer": {"address": "VARCHAR", "port": "USMALLINT"}},
        "connect": {"outcome": "VARCHAR", "duration_ns": "UBIGINT"},
        "mmap": {"prot": ["VARCHAR"], "length_bytes": "UBIGINT"},
        "file": {"path": "VARCHAR"},
        "error": {"type": "VARCHAR"}
    }'))
FROM lines;

-- Each record with its time (to the nanosecond) and its machine, which a tool's own file says
-- first, in trace.start.
CREATE OR REPLACE VIEW snoop AS
WITH hosts AS (
    SELECT filename, any_value(host.name) AS name FROM records
    WHERE event.name = 'trace.start' AND host_of_path IS NULL GROUP BY filename
)
SELECT records.* EXCLUDE (timestamp, host),
    CAST(records.timestamp AS TIMESTAMP_NS) AS time, coalesce(host_of_path, hosts.name) AS host
FROM records LEFT JOIN hosts USING (filename);

-- complete: events shown and lost by host and tool. Shown and lost together are all that happened.
SELECT host, tool, sum(events) AS events, sum(lost) AS lost
FROM snoop WHERE event.name = 'trace.end'
GROUP BY ALL ORDER BY host, tool;

-- programs: what is executed most.
SELECT host, process.comm AS program, count(*) AS executions
FROM snoop WHERE event.name = 'process.exec' AND tool = 'execsnoop'
GROUP BY ALL ORDER BY executions DESC, program LIMIT 20;

-- failures: what cannot be executed, and why.
SELECT process.comm AS caller, process.command_args[1] AS program, error.type AS error, count(*) AS failures
FROM snoop WHERE event.name = 'process.exec_failed'
GROUP BY ALL ORDER BY failures DESC, program LIMIT 20;

-- connects: destinations, with outcomes and latency.
SELECT network.peer.address AS address, network.peer.port AS port, connect.outcome AS outcome,
    count(*) AS attempts, quantile_cont(connect.duration_ns, 0.95) / 1e6 AS p95_ms
FROM snoop WHERE event.name = 'network.connect'
GROUP BY ALL ORDER BY attempts DESC, address, port, outcome LIMIT 20;

-- ends: processes that did not end well.
SELECT process.comm AS program, coalesce(process.exit.signal, CAST(process.exit.code AS VARCHAR)) AS status,
    count(*) AS ends, max(process.duration_ns) / 1e9 AS longest_s
FROM snoop
WHERE event.name = 'process.exit' AND (process.exit.signal IS NOT NULL OR process.exit.code != 0)
GROUP BY ALL ORDER BY ends DESC, program, status LIMIT 20;

-- executable: memory that is writable and executable at once.
SELECT process.comm AS program, coalesce(file.path, 'anonymous') AS path, count(*) AS mappings,
    sum(mmap.length_bytes) AS bytes
FROM snoop
WHERE event.name = 'memory.map' AND list_has_all(mmap.prot, ['WRITE', 'EXEC'])
GROUP BY ALL ORDER BY mappings DESC, program, path LIMIT 20;

-- containers: what runs in containers.
SELECT host, container.id AS container, count(*) AS executions, count(DISTINCT process.comm) AS programs
FROM snoop WHERE event.name = 'process.exec' AND container.id IS NOT NULL
GROUP BY ALL ORDER BY executions DESC, container LIMIT 20;

-- lives: programs of execsnoop with how long their processes lived, from procsnoop. A process is its
-- machine, its id, and its birth: ids come again, a birth does not (boots of a machine are told
-- apart by days here).
SELECT program.host AS host, program.process.comm AS program, count(*) AS lives,
    max(life.process.duration_ns) / 1e9 AS longest_s
FROM snoop AS program JOIN snoop AS life
    ON program.host = life.host AND program.process.pid = life.process.pid
    AND program.process.start_boot_ns = life.process.start_boot_ns
    AND abs(date_diff('day', program.time, life.time)) <= 1
WHERE program.tool = 'execsnoop' AND program.event.name = 'process.exec'
    AND life.tool = 'procsnoop' AND life.event.name = 'process.exit'
GROUP BY ALL ORDER BY lives DESC, program LIMIT 20;
