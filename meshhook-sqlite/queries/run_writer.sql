-- In the writer's transaction; by runs_pk. Only when a run changes hands.
UPDATE runs SET last_writer = ?3 WHERE project = ?1 AND run_id = ?2
