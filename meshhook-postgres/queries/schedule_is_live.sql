-- By schedules_pk and workflows_pk. The schedule's row is locked: what is said of it stays true until the end.
SELECT 1 FROM meshhook.schedules s
JOIN meshhook.workflows w ON w.project = s.project AND w.slug = s.slug
WHERE s.project = $1 AND s.slug = $2 AND s.trigger = $3 AND w.published_version IS NOT NULL
FOR NO KEY UPDATE OF s
