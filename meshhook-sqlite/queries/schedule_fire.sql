-- In the writer's transaction; by schedules_pk, with workflows_pk and versions_pk.
UPDATE schedules SET done_until = ?5, wake_at = ?6, last_at = coalesce(?7, last_at), turn = turn + 1
WHERE project = ?1 AND slug = ?2 AND trigger = ?3 AND turn = ?4 AND EXISTS (
    SELECT 1 FROM workflows
    CROSS JOIN versions ON versions.project = workflows.project AND versions.slug = workflows.slug
        AND versions.version = workflows.published_version
    WHERE workflows.project = ?1 AND workflows.slug = ?2 AND versions.digest = ?8)
