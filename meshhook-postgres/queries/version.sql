-- By versions_pk and definitions_pk.
SELECT v.version, v.digest, d.definition, v.created_at
FROM meshhook.versions v JOIN meshhook.definitions d ON d.project = v.project AND d.digest = v.digest
WHERE v.project = $1 AND v.slug = $2 AND v.version = $3
