-- By workflows_pk.
UPDATE meshhook.workflows SET published_version = NULL WHERE project = $1 AND slug = $2
