-- In the writer's transaction; along schedules_due, with workflows_pk and versions_pk.
SELECT schedules.project, schedules.slug, schedules.trigger, schedules.turn, schedules.done_until,
    schedules.seen_since, schedules.seen_until, versions.version, versions.digest
FROM schedules
CROSS JOIN workflows ON workflows.project = schedules.project AND workflows.slug = schedules.slug
CROSS JOIN versions ON versions.project = schedules.project AND versions.slug = schedules.slug
    AND versions.version = workflows.published_version
WHERE schedules.wake_at <= ?1
ORDER BY schedules.wake_at, schedules.project, schedules.slug, schedules.trigger LIMIT ?2
