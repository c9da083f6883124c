-- By schedules_pk.
UPDATE meshhook.schedules SET paused = true, wake_at = NULL, turn = turn + 1
WHERE project = $1 AND slug = $2 AND trigger = $3 AND NOT paused
