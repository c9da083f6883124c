-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET paused = 1, wake_at = NULL, turn = turn + 1
WHERE project = ?1 AND slug = ?2 AND trigger = ?3 AND NOT paused
