-- Under the workflow's lock.
INSERT INTO meshhook.versions (project, slug, version, digest, created_at) VALUES ($1, $2, $3, $4, $5)
