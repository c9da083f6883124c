-- Catalogue and settings; no table of the schema but by its size.
SELECT current_setting('server_version_num')::integer AS version,
    pg_is_in_recovery() AS is_standby,
    (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS is_beyond_the_wall,
    EXISTS (
        SELECT 1 FROM pg_class
        WHERE relnamespace = 'meshhook'::regnamespace AND pg_has_role(relowner, 'USAGE')) AS is_owner,
    current_setting('fsync')::boolean AS fsync,
    current_setting('full_page_writes')::boolean AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation') AS isolation,
    current_setting('autovacuum')::boolean AS autovacuum,
    (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
        WHERE relnamespace = 'meshhook'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'migrations'
            AND NOT (relrowsecurity AND relforcerowsecurity)) AS without_wall,
    (SELECT string_agg(r.name || ' (' || r.privilege || ')', ', ' ORDER BY r.name, r.privilege)
        FROM unnest($1::text[], $2::text[]) AS r (name, privilege)
        WHERE NOT has_table_privilege('meshhook.' || r.name, r.privilege)) AS without_rights,
    (SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc
        WHERE pronamespace = 'meshhook'::regnamespace AND proname <> 'drop_partitions'
            AND NOT has_function_privilege(oid, 'EXECUTE')) AS not_callable,
    (SELECT min(made) FROM (
        SELECT count(*) FILTER (WHERE p.low > meshhook.first_id(now())) AS made
        FROM unnest(ARRAY['ended_runs', 'history']) AS t (parent) LEFT JOIN meshhook.partitions() p USING (parent)
        GROUP BY parent) m)::integer AS months_ahead,
    (SELECT sum(relpages) FROM pg_class
        WHERE oid IN ('meshhook.ended_runs_other'::regclass, 'meshhook.history_other'::regclass))::bigint AS pages_astray,
    (SELECT max(age(backend_xmin)) FROM pg_stat_activity)::bigint AS oldest_snapshot,
    (SELECT max(age(xmin)) FROM pg_replication_slots)::bigint AS oldest_slot,
    (SELECT max(age(transaction)) FROM pg_prepared_xacts)::bigint AS oldest_prepared,
    meshhook.now_or(NULL) AS now
