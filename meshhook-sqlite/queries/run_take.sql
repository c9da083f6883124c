-- In the writer's transaction; by runs_pk. Where the run stands is for the next commit to say.
UPDATE runs
SET owner = ?3, last_holder = ?3, epoch = ?4, strikes = ?5, strike_seq = ?6, wake_at = NULL, ended = 0
WHERE project = ?1 AND run_id = ?2
