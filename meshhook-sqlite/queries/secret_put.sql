-- In the writer's transaction; by secrets_pk. A name that was removed is created anew.
INSERT INTO secrets (project, name, version, sealed, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT DO UPDATE SET
    version = ?3, sealed = ?4, updated_at = ?5,
    created_at = CASE WHEN sealed IS NULL THEN ?5 ELSE created_at END
