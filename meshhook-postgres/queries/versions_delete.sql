-- Under the workflow's lock; a range of versions_pk.
DELETE FROM meshhook.versions WHERE project = $1 AND slug = $2
