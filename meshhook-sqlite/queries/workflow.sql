-- Read transaction, or the writer's; by workflows_pk.
SELECT slug, draft, revision, latest_version, published_version, created_at, updated_at FROM workflows WHERE project = ?1 AND slug = ?2
