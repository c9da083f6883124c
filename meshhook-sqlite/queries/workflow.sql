-- Read transaction, or the writer's; by workflows_pk and versions_pk.
SELECT workflows.slug, draft, revision, latest_version, published_version, workflows.created_at, updated_at, versions.digest
FROM workflows
LEFT JOIN versions ON versions.project = workflows.project AND versions.slug = workflows.slug
    AND versions.version = workflows.published_version
WHERE workflows.project = ?1 AND workflows.slug = ?2
