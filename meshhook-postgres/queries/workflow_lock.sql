-- Within the writer's transaction; by workflows_pk. Whoever changes a workflow locks its row first.
SELECT revision, latest_version, published_version FROM meshhook.workflows
WHERE project = $1 AND slug = $2 FOR UPDATE
