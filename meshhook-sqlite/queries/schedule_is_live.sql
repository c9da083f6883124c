-- In the writer's transaction; by schedules_pk and workflows_pk.
SELECT 1 FROM schedules
JOIN workflows ON workflows.project = schedules.project AND workflows.slug = schedules.slug
WHERE schedules.project = ?1 AND schedules.slug = ?2 AND schedules.trigger = ?3
    AND workflows.published_version IS NOT NULL
