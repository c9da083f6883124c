-- In the writer's transaction; by schedules_pk.
DELETE FROM schedules WHERE project = ?1 AND slug = ?2 AND trigger = ?3
