-- Read transaction; down versions_pk, each definition by definitions_pk, read as far as there is room.
SELECT versions.version, versions.digest, definitions.definition, versions.created_at
FROM versions JOIN definitions ON definitions.project = versions.project AND definitions.digest = versions.digest
WHERE versions.project = ?1 AND versions.slug = ?2 AND versions.version < ?3
ORDER BY versions.version DESC
