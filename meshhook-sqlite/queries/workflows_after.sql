-- Read transaction; down workflows_by_creation, each live version by versions_pk, read as far as there is room.
SELECT workflows.slug, draft, revision, latest_version, published_version, workflows.created_at, updated_at, versions.digest
FROM workflows
LEFT JOIN versions ON versions.project = workflows.project AND versions.slug = workflows.slug
    AND versions.version = workflows.published_version
WHERE workflows.project = ?1 AND (workflows.created_at, workflows.slug) < (?2, ?3)
ORDER BY workflows.created_at DESC, workflows.slug DESC
