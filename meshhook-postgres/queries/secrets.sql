-- A range of secrets_pk.
SELECT name, version, sealed, created_at, updated_at FROM meshhook.secrets
WHERE project = $1 AND sealed IS NOT NULL ORDER BY name
