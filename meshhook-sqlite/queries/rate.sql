-- In the writer's transaction; by rates_pk.
SELECT full_at FROM rates WHERE project = ?1 AND key = ?2
