-- By live_runs_pk and ended_runs_pk; a run is in one of them.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure
FROM meshhook.live_runs WHERE project = $1 AND run_id = $2
UNION ALL
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure
FROM meshhook.ended_runs WHERE project = $1 AND run_id = $2
