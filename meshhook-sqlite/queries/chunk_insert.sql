-- In the writer's transaction; history_by_run would refuse a second writer.
INSERT INTO history (project, run_id, first_seq, last_seq, text, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
