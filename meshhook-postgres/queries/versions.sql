-- Down versions_pk, each definition by definitions_pk; the list ends when it is large, one more than fits is read.
SELECT version, digest, definition, created_at FROM (
    SELECT v.version, v.digest, d.definition, v.created_at,
        sum(octet_length(d.definition)) OVER (ORDER BY v.version DESC) - octet_length(d.definition) AS before
    FROM (
        SELECT version, digest, created_at FROM meshhook.versions
        WHERE project = $1 AND slug = $2 AND version < $3
        ORDER BY version DESC LIMIT $4) v
    JOIN meshhook.definitions d ON d.project = $1 AND d.digest = v.digest) summed
WHERE before <= $5
ORDER BY version DESC
