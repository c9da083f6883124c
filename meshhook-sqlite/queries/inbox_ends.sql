-- Read transaction; a range of inbox_by_run, without touching the table: what waits for a run is bounded. Nulls when nothing does.
SELECT min(id), max(id) FROM inbox WHERE project = ?1 AND run_id = ?2
