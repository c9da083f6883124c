-- By secrets_pk, in the order of names.
UPDATE meshhook.secrets s SET sealed = r.sealed
FROM (
    SELECT name, version, sealed FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS r (name, version, sealed)
    ORDER BY name) r
WHERE s.project = $1 AND s.name = r.name AND s.version = r.version AND s.sealed IS NOT NULL
