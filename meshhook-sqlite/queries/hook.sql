-- Read transaction; by hooks_pk, workflows_pk and versions_pk.
SELECT hooks.slug, versions.version, versions.digest, hooks.trigger
FROM hooks
JOIN workflows ON workflows.project = hooks.project AND workflows.slug = hooks.slug
JOIN versions ON versions.project = hooks.project AND versions.slug = hooks.slug
    AND versions.version = workflows.published_version
WHERE hooks.project = ?1 AND hooks.path = ?2
