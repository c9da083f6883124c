-- By schedules_pk, whose row it locks before any run's, with workflows_pk and versions_pk.
UPDATE meshhook.schedules SET done_until = $5, wake_at = $6, last_at = coalesce($7, last_at), turn = turn + 1
WHERE project = $1 AND slug = $2 AND trigger = $3 AND turn = $4 AND EXISTS (
    SELECT 1 FROM meshhook.workflows w
    JOIN meshhook.versions v ON v.project = w.project AND v.slug = w.slug AND v.version = w.published_version
    WHERE w.project = $1 AND w.slug = $2 AND v.digest = $8)
