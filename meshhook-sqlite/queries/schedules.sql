-- Read transaction; along schedules_pk, with workflows_pk, read as far as there is room.
SELECT schedules.slug, schedules.trigger, schedules.cron, schedules.timezone, schedules.paused,
    schedules.done_until, schedules.last_at
FROM schedules
CROSS JOIN workflows ON workflows.project = schedules.project AND workflows.slug = schedules.slug
WHERE schedules.project = ?1 AND (schedules.slug, schedules.trigger) > (?2, ?3)
    AND workflows.published_version IS NOT NULL
ORDER BY schedules.slug, schedules.trigger
