-- Under the row's lock; by workflows_pk.
UPDATE meshhook.workflows SET latest_version = $3, published_version = $3 WHERE project = $1 AND slug = $2
