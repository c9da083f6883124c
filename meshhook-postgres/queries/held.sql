-- By live_runs_held.
SELECT project, run_id, claim FROM meshhook.held_v1($1)
