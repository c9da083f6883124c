-- By workflows_pk.
DELETE FROM meshhook.workflows WHERE project = $1 AND slug = $2
