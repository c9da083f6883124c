-- Read transaction; a range of inbox_by_run, read as far as there is room.
SELECT id, project, run_id, message FROM inbox WHERE project = ?1 AND run_id = ?2 AND id > ?3 ORDER BY id
