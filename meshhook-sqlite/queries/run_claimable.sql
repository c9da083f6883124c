-- In the writer's transaction; by runs_pk, and by history_by_run.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure,
    owner, epoch, claim, last_holder, strikes, strike_seq,
    (SELECT max(last_seq) FROM history WHERE project = ?1 AND history.run_id = ?2)
FROM runs WHERE project = ?1 AND run_id = ?2
