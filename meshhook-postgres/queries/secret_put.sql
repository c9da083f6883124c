-- By secrets_pk. Another version than the next one changes nothing; a name that was removed is created anew.
INSERT INTO meshhook.secrets AS s (project, name, version, sealed, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $5
WHERE $3 = 1 OR EXISTS (SELECT 1 FROM meshhook.secrets WHERE project = $1 AND name = $2)
ON CONFLICT (project, name) DO UPDATE SET
    version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at,
    created_at = CASE WHEN s.sealed IS NULL THEN excluded.created_at ELSE s.created_at END
WHERE s.version + 1 = excluded.version
