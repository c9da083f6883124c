-- Under the workflow's lock; by schedules_pk.
UPDATE meshhook.schedules SET wake_at = NULL, turn = turn + 1 WHERE project = $1 AND slug = $2
