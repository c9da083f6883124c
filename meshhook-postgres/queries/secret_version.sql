-- By secrets_pk.
SELECT version FROM meshhook.secrets WHERE project = $1 AND name = $2
