-- By hooks_pk, in the order of paths. A path that is taken stays as it is: the caller counts.
INSERT INTO meshhook.hooks (project, path, slug, trigger)
SELECT $1, path, $2, trigger FROM unnest($3::text[], $4::text[]) AS hook (path, trigger)
ORDER BY path ON CONFLICT DO NOTHING
