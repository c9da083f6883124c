-- In the writer's transaction; by schedules_pk. ?6 is now, ?7 whether the workflow was published.
INSERT INTO schedules (project, slug, trigger, cron, timezone, done_until, wake_at, paused, turn, seen_since, seen_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, max(?6, 0) + 1, ?6, ?6)
ON CONFLICT (project, slug, trigger) DO UPDATE SET
    cron = excluded.cron, timezone = excluded.timezone,
    done_until = CASE WHEN ?7 AND cron = excluded.cron AND timezone = excluded.timezone THEN done_until
        ELSE max(done_until, excluded.done_until) END,
    wake_at = CASE WHEN paused THEN NULL ELSE excluded.wake_at END,
    turn = turn + 1
