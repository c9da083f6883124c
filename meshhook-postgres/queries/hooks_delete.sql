-- Under the workflow's lock; by hooks_by_workflow.
DELETE FROM meshhook.hooks WHERE project = $1 AND slug = $2
