-- The next project that has runs with a wake-up time, and the earliest: one step in runs_due.
SELECT project, wake_at FROM runs
WHERE wake_at IS NOT NULL AND project > ?1
ORDER BY project, wake_at LIMIT 1
