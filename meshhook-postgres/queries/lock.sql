-- Within a transaction, before what needs the locks; by live_runs_pk.
SELECT meshhook.lock_v1($1, $2, $3)
