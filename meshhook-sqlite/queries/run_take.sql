-- In the writer's transaction; by runs_pk. Where the run stands is for the next commit to say.
UPDATE runs
SET owner = ?3, last_holder = ?3, epoch = ?4, claim = ?5, strikes = ?6, strike_seq = ?7, wake_at = NULL, ended = 0
WHERE project = ?1 AND run_id = ?2
