-- By definitions_pk.
INSERT INTO meshhook.definitions (project, digest, definition) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
