-- No table; a transaction of its own, because it takes a lock of the whole server while it commits.
SELECT pg_notify($1, target) FROM unnest($2::text[]) AS target
