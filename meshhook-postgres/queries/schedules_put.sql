-- Under the workflow's lock; by schedules_pk, in the order of triggers. $6 is now, $7 whether the workflow was published.
INSERT INTO meshhook.schedules AS s (
    project, slug, trigger, cron, timezone, done_until, wake_at, paused, turn, seen_since, seen_until)
SELECT $1, $2, p.trigger, p.cron, p.timezone, n.now, n.now, false, greatest(n.now, 0) + 1, n.now, n.now
FROM (SELECT meshhook.now_or($6) AS now) n
CROSS JOIN unnest($3::text[], $4::text[], $5::text[]) AS p (trigger, cron, timezone)
ORDER BY p.trigger
ON CONFLICT (project, slug, trigger) DO UPDATE SET
    cron = excluded.cron, timezone = excluded.timezone,
    done_until = CASE WHEN $7 AND s.cron = excluded.cron AND s.timezone = excluded.timezone THEN s.done_until
        ELSE greatest(s.done_until, excluded.done_until) END,
    wake_at = CASE WHEN s.paused THEN NULL ELSE excluded.wake_at END,
    turn = s.turn + 1
