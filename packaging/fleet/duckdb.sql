-- JSON Lines of the tools in DuckDB, as they lie in files of one or many hosts:
--
--     duckdb -init duckdb.sql
--
-- Only the keys that the queries below use are declared; add others as each tool's page has
-- them. Keys that a record lacks are NULL.

SET VARIABLE snoop_files = '/var/log/snoop/*.jsonl';

CREATE OR REPLACE VIEW records AS
SELECT *
FROM read_json(
    getvariable('snoop_files'),
    format = 'newline_delimited',
    filename = true,
    columns = {
        timestamp: 'VARCHAR',
        event: 'STRUCT(name VARCHAR)',
        host: 'STRUCT(name VARCHAR)',
        tool: 'VARCHAR',
        events: 'UBIGINT',
        lost: 'UBIGINT',
        container: 'STRUCT(id VARCHAR)',
        process: 'STRUCT(
            pid UINTEGER, parent_pid UINTEGER, comm VARCHAR,
            "user" STRUCT(id UINTEGER), linux STRUCT(cgroup VARCHAR),
            command_args VARCHAR[],
            "exit" STRUCT(code UTINYINT, signal VARCHAR), duration_ns UBIGINT)',
        network: 'STRUCT(peer STRUCT(address VARCHAR, port USMALLINT))',
        connect: 'STRUCT(outcome VARCHAR, duration_ns UBIGINT)',
        mmap: 'STRUCT(prot VARCHAR[], length_bytes UBIGINT)',
        file: 'STRUCT(path VARCHAR)',
        error: 'STRUCT(type VARCHAR)'
    });

-- Each record with its time (to the nanosecond) and its host, which a file says first, in
-- trace.start.
CREATE OR REPLACE VIEW snoop AS
WITH hosts AS (
    SELECT filename, any_value(host.name) AS name FROM records
    WHERE event.name = 'trace.start' GROUP BY filename
)
SELECT records.* EXCLUDE (timestamp, host),
    CAST(records.timestamp AS TIMESTAMP_NS) AS time, hosts.name AS host
FROM records LEFT JOIN hosts USING (filename);

-- complete: events shown and lost by host and tool. Shown and lost together are all that happened.
SELECT host, tool.tool AS tool, sum(ends.events) AS events, sum(ends.lost) AS lost
FROM snoop AS ends
JOIN (SELECT filename, any_value(tool) AS tool FROM records WHERE tool IS NOT NULL GROUP BY filename)
    AS tool USING (filename)
WHERE event.name = 'trace.end'
GROUP BY ALL ORDER BY host, tool;

-- programs: what is executed most.
SELECT host, process.comm AS program, count(*) AS executions
FROM snoop WHERE event.name = 'process.exec' AND filename LIKE '%execsnoop%'
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
