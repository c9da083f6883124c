-- Under the workflow's lock; by schedules_pk. Those of other triggers go.
DELETE FROM meshhook.schedules WHERE project = $1 AND slug = $2 AND trigger <> ALL ($3::text[])
