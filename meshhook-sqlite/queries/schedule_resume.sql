-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET paused = 0, wake_at = ?4, done_until = max(done_until, ?4), turn = turn + 1
WHERE project = ?1 AND slug = ?2 AND trigger = ?3 AND paused
