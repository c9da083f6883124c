-- One transaction; locking and indexes are described at the function.
SELECT now, project, slug, trigger, turn, done_until, seen_since, seen_until, version, digest
FROM meshhook.take_schedules_v1($1, $2, $3, $4)
