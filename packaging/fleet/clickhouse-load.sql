-- Files that rsyslog-server.conf has stored, into the table of clickhouse.sql: a day of all machines
-- at once, when it is over. With clickhouse-local, or in the server's folder user_files.
--
-- Each line once: no two lines of a run are the same, so what is the same came twice on its way here.
-- host.name, which the tools say once, in trace.start, gets into each record from the file's name.

INSERT INTO snoop
SELECT JSONMergePatch(json, concat('{"host":{"name":', toJSONString(extract(_path, '/host=([^/]+)/')), '}}'))
FROM (
    SELECT DISTINCT json, _path
    FROM file('/srv/snoop/host=*/day=2026-01-31/*.jsonl*', 'JSONAsString'));
