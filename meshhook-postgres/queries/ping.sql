-- No table. What cannot write is of no use.
SELECT meshhook.now_or($1) AS now, pg_is_in_recovery() AS is_standby, pg_backend_pid() AS session
