-- By workflows_pk, versions_pk and hooks_by_workflow.
SELECT w.slug, w.draft, w.revision, w.latest_version, w.created_at, w.updated_at,
    v.version AS live_version, v.digest AS live_digest, h.paths, h.triggers
FROM meshhook.workflows w
LEFT JOIN meshhook.versions v ON v.project = w.project AND v.slug = w.slug AND v.version = w.published_version
LEFT JOIN LATERAL (
    SELECT array_agg(path ORDER BY path) AS paths, array_agg(trigger ORDER BY path) AS triggers
    FROM meshhook.hooks WHERE project = w.project AND slug = w.slug) h ON v.version IS NOT NULL
WHERE w.project = $1 AND w.slug = $2
