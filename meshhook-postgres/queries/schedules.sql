-- Along schedules_pk, with workflows_pk.
SELECT s.slug, s.trigger, s.cron, s.timezone, s.paused, s.done_until, s.last_at
FROM meshhook.schedules s
JOIN meshhook.workflows w ON w.project = s.project AND w.slug = s.slug
WHERE s.project = $1 AND (s.slug, s.trigger) > ($2, $3) AND w.published_version IS NOT NULL
ORDER BY s.slug, s.trigger LIMIT $4
