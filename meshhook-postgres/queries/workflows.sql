-- Down workflows_by_creation; the list ends when it is large, one more than fits is read.
SELECT w.slug, w.draft, w.revision, w.latest_version, w.created_at, w.updated_at,
    v.version AS live_version, v.digest AS live_digest, h.paths, h.triggers
FROM (
    SELECT part.*, sum(octet_length(draft)) OVER (ORDER BY created_at DESC, slug DESC) - octet_length(draft) AS before
    FROM (
        SELECT project, slug, draft, revision, latest_version, published_version, created_at, updated_at
        FROM meshhook.workflows
        WHERE project = $1 AND (created_at, slug) < ($3, $4)
        ORDER BY created_at DESC, slug DESC LIMIT $2) part) w
LEFT JOIN meshhook.versions v ON v.project = w.project AND v.slug = w.slug AND v.version = w.published_version
LEFT JOIN LATERAL (
    SELECT array_agg(path ORDER BY path) AS paths, array_agg(trigger ORDER BY path) AS triggers
    FROM meshhook.hooks WHERE project = w.project AND slug = w.slug) h ON v.version IS NOT NULL
WHERE before <= $5
ORDER BY w.created_at DESC, w.slug DESC
