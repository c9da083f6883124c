-- In the writer's transaction; by inbox_by_run, without touching the table: what waits for a run is bounded.
SELECT count(*) FROM inbox WHERE project = ?1 AND run_id = ?2
