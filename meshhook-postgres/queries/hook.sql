-- By hooks_pk, workflows_pk and versions_pk.
SELECT h.slug, v.version, v.digest, h.trigger
FROM meshhook.hooks h
JOIN meshhook.workflows w ON w.project = h.project AND w.slug = h.slug
JOIN meshhook.versions v ON v.project = h.project AND v.slug = h.slug AND v.version = w.published_version
WHERE h.project = $1 AND h.path = $2
