-- One transaction; by workers_pk.
SELECT meshhook.lease_v1($1, $2, $3, $4) AS now, pg_backend_pid() AS session
