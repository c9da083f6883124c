-- Down versions_pk.
SELECT version, digest FROM meshhook.versions WHERE project = $1 AND slug = $2 ORDER BY version DESC LIMIT 1
