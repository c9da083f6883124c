-- By live_runs_held.
SELECT project, run_id FROM meshhook.held_v1($1)
