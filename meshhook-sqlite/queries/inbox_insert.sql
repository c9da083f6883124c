-- In the writer's transaction.
INSERT INTO inbox (project, run_id, is_retry, message) VALUES (?1, ?2, ?3, ?4)
