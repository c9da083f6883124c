-- Read transaction; down workflows_by_creation.
SELECT slug, draft, revision, latest_version, published_version, created_at, updated_at FROM workflows
WHERE project = ?1 AND (created_at, slug) < (?3, ?4)
ORDER BY created_at DESC, slug DESC LIMIT ?2
