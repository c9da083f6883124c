-- 0008: what people look at with SQL. SET meshhook.project to a project's id first.
--
-- A view reads its tables as its owner. Owners are held to the wall like everybody, but superusers are not, and their
-- views would be doors in it. So the views say themselves what the tables' policies say; where the server can (15 and
-- later), they read as whoever asks, too.

CREATE VIEW meshhook.runs WITH (security_barrier = true) AS
SELECT project, run_id, workflow, version, digest, test, status, created_at, finished_at, failure, owner, wake_at, epoch, strikes
FROM (
    SELECT project, run_id, workflow, version, encode(digest, 'hex') AS digest, test, status,
        to_timestamp(created_at / 1e6) AS created_at, to_timestamp(finished_at / 1e6) AS finished_at,
        failure::json AS failure, owner, to_timestamp(wake_at / 1e6) AS wake_at, epoch, strikes
    FROM meshhook.live_runs
    UNION ALL
    SELECT project, run_id, workflow, version, encode(digest, 'hex'), test, status,
        to_timestamp(created_at / 1e6), to_timestamp(finished_at / 1e6),
        failure::json, NULL, NULL, epoch, strikes
    FROM meshhook.ended_runs
) both_tables
WHERE (SELECT meshhook.scope()) IN ('*', project);

COMMENT ON VIEW meshhook.runs IS 'All runs, live and ended.';

-- Text of the database cannot hold the character U+0000, which JSON can: it is shown as U+FFFD. An escape begins where
-- an even number of backslashes is before it.
CREATE VIEW meshhook.events WITH (security_barrier = true) AS
SELECT h.project, h.run_id, (e.value ->> 'seq')::bigint AS seq, (e.value ->> 'at')::timestamptz AS at,
    e.value ->> 'type' AS type, e.value ->> 'step' AS step, e.value -> 'data' AS data
FROM meshhook.history h
CROSS JOIN LATERAL convert_from(h.chunk, 'UTF8') AS c (events)
CROSS JOIN LATERAL json_array_elements((
    CASE WHEN strpos(c.events, '\u0000') = 0 THEN c.events
        ELSE regexp_replace(c.events, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') END)::json) AS e (value)
WHERE (SELECT meshhook.scope()) IN ('*', h.project);

COMMENT ON VIEW meshhook.events IS 'One row per event of every run''s history.';

DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        ALTER VIEW meshhook.runs SET (security_invoker = true);
        ALTER VIEW meshhook.events SET (security_invoker = true);
    END IF;
END
$$;
