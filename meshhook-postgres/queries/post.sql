-- One transaction; locks the runs' rows in the order of their keys.
SELECT outcome, owner, pg_backend_pid() AS session FROM meshhook.post_v1($1, $2, $3, $4, $5, $6)
