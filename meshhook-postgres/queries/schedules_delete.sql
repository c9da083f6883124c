-- Under the workflow's lock; by schedules_pk.
DELETE FROM meshhook.schedules WHERE project = $1 AND slug = $2
