-- By schedules_pk, whose row it locks before any run's.
UPDATE meshhook.schedules SET done_until = $5, wake_at = $6, last_at = coalesce($7, last_at), turn = turn + 1
WHERE project = $1 AND slug = $2 AND trigger = $3 AND turn = $4
