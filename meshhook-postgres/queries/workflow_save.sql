-- Under the row's lock; by workflows_pk.
UPDATE meshhook.workflows SET draft = $3, revision = revision + 1, updated_at = $4 WHERE project = $1 AND slug = $2
