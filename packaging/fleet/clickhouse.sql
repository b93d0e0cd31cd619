-- JSON Lines of the tools in ClickHouse (25.3 or newer: the type JSON).
--
-- One table takes the records of all tools and hosts. The keys that queries use most have types;
-- all others are kept too, with types as they come. vector.yaml fills it; so does clickhouse-load.sql,
-- with files that rsyslog has collected.

CREATE TABLE IF NOT EXISTS snoop
(
    record JSON(
        timestamp DateTime64(9, 'UTC'),
        event.name LowCardinality(String),
        host.name LowCardinality(String),
        container.id String,
        process.pid UInt32,
        process.parent_pid UInt32,
        process.start_boot_ns UInt64,
        process.comm LowCardinality(String),
        process.user.id UInt32,
        process.linux.cgroup LowCardinality(String),
        process.command_args Array(String),
        process.duration_ns UInt64,
        network.peer.address String,
        network.peer.port UInt16,
        connect.outcome LowCardinality(String),
        connect.duration_ns UInt64,
        mmap.prot Array(LowCardinality(String)),
        mmap.length_bytes UInt64,
        file.path String,
        error.type LowCardinality(String))
)
ENGINE = MergeTree
PARTITION BY toDate(record.timestamp)
ORDER BY (record.event.name, record.host.name, record.timestamp)
SETTINGS allow_nullable_key = 1;

-- complete: events shown and lost by host. Shown and lost together are all that happened.
SELECT record.host.name AS host, sum(record.events::UInt64) AS events, sum(record.lost::UInt64) AS lost
FROM snoop WHERE record.event.name = 'trace.end'
GROUP BY host ORDER BY host;

-- programs: what is executed most.
SELECT record.host.name AS host, record.process.comm AS program, count() AS executions
FROM snoop WHERE record.event.name = 'process.exec'
GROUP BY host, program ORDER BY executions DESC, program LIMIT 20;

-- failures: what cannot be executed, and why.
SELECT record.process.comm AS caller, record.process.command_args[1] AS program,
    record.error.type AS error, count() AS failures
FROM snoop WHERE record.event.name = 'process.exec_failed'
GROUP BY caller, program, error ORDER BY failures DESC, program LIMIT 20;

-- connects: destinations, with outcomes and latency.
SELECT record.network.peer.address AS address, record.network.peer.port AS port,
    record.connect.outcome AS outcome, count() AS attempts,
    quantileExactInclusive(0.95)(record.connect.duration_ns) / 1e6 AS p95_ms
FROM snoop WHERE record.event.name = 'network.connect'
GROUP BY address, port, outcome ORDER BY attempts DESC, address, port, outcome LIMIT 20;

-- ends: processes that did not end well.
SELECT record.process.comm AS program,
    coalesce(record.process.exit.signal::Nullable(String), toString(record.process.exit.code)) AS status,
    count() AS ends, max(record.process.duration_ns) / 1e9 AS longest_s
FROM snoop WHERE record.event.name = 'process.exit' AND status != '0'
GROUP BY program, status ORDER BY ends DESC, program, status LIMIT 20;

-- executable: memory that is writable and executable at once.
SELECT record.process.comm AS program, if(record.file.path = '', 'anonymous', record.file.path) AS path,
    count() AS mappings, sum(record.mmap.length_bytes) AS bytes
FROM snoop WHERE record.event.name = 'memory.map' AND hasAll(record.mmap.prot, ['WRITE', 'EXEC'])
GROUP BY program, path ORDER BY mappings DESC, program, path LIMIT 20;

-- containers: what runs in containers.
SELECT record.host.name AS host, record.container.id AS container, count() AS executions,
    uniqExact(record.process.comm) AS programs
FROM snoop WHERE record.event.name = 'process.exec' AND record.container.id != ''
GROUP BY host, container ORDER BY executions DESC, container LIMIT 20;

-- lives: programs of execsnoop with how long their processes lived, from procsnoop. A process is its
-- machine, its id, and its birth: ids come again, a birth does not.
SELECT record.host.name AS host, record.process.comm AS program,
    uniqExact((record.process.pid, record.process.start_boot_ns)) AS lives, -- two tools tell of some
    max(life.duration) / 1e9 AS longest_s
FROM snoop JOIN (
    SELECT record.host.name AS host, record.process.pid AS pid, record.process.start_boot_ns AS birth,
        record.process.duration_ns AS duration
    FROM snoop WHERE record.event.name = 'process.exit') AS life
    ON record.host.name = life.host AND record.process.pid = life.pid
    AND record.process.start_boot_ns = life.birth
WHERE record.event.name = 'process.exec'
GROUP BY host, program ORDER BY lives DESC, program LIMIT 20;
