-- By projects_pk. An id that is taken stays as it is.
INSERT INTO meshhook.projects (project, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
