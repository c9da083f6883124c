-- In the writer's transaction; one step in schedules_due.
SELECT wake_at FROM schedules WHERE wake_at >= -9223372036854775808 ORDER BY wake_at LIMIT 1
