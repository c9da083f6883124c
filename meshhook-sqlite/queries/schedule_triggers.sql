-- In the writer's transaction; by schedules_pk.
SELECT trigger FROM schedules WHERE project = ?1 AND slug = ?2
