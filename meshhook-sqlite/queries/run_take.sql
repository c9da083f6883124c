-- In the writer's transaction; by runs_pk.
UPDATE runs
SET owner = ?3, last_holder = ?3, epoch = ?4, strikes = ?5, strike_seq = ?6,
    wake_at = NULL, ended = 0, status = 'running', finished_at = NULL, failure = NULL
WHERE project = ?1 AND run_id = ?2
