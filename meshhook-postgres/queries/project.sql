-- By projects_pk.
SELECT project, name, created_at FROM meshhook.projects WHERE project = $1
