-- By schedules_pk; $4 is now.
UPDATE meshhook.schedules SET paused = false, wake_at = meshhook.now_or($4),
    done_until = greatest(done_until, meshhook.now_or($4)), turn = turn + 1
WHERE project = $1 AND slug = $2 AND trigger = $3 AND paused
