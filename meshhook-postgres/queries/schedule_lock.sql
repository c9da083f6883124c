-- Under the workflow's lock; by schedules_pk.
SELECT 1 FROM meshhook.schedules WHERE project = $1 AND slug = $2 AND trigger = $3 FOR NO KEY UPDATE
