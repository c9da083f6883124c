-- One transaction; locking and indexes are described at the function.
SELECT a_done, pg_backend_pid() AS session FROM meshhook.advance_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
