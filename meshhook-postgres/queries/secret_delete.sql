-- By secrets_pk. The row stays and counts.
UPDATE meshhook.secrets SET sealed = NULL WHERE project = $1 AND name = $2 AND sealed IS NOT NULL
