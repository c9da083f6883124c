-- By workflows_pk. A name that is taken stays as it is.
INSERT INTO meshhook.workflows (project, slug, draft, revision, created_at, updated_at)
VALUES ($1, $2, $3, 1, $4, $4) ON CONFLICT DO NOTHING
