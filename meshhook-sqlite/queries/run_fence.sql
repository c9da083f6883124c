-- In the writer's transaction; by runs_pk and, without touching the table, by history_by_run.
SELECT owner, claim,
    (SELECT max(last_seq) FROM history WHERE project = ?1 AND run_id = ?2), status
FROM runs WHERE project = ?1 AND run_id = ?2
