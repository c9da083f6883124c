-- One transaction, alone with the worker's lock; by live_runs_pk.
SELECT meshhook.forget_v1($1, $2, $3, $4, $5, $6, $7)
