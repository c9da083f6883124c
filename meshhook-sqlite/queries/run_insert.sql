-- In the writer's transaction; refused ids were looked for before.
INSERT INTO runs (
    project, run_id, workflow, version, digest, created_at, test, status, finished_at, failure,
    owner, wake_at, ended, epoch, claim, last_holder, strikes, strike_seq
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 1, 1, ?14, 0, 0)
