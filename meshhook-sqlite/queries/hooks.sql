-- Read transaction, or the writer's; by hooks_by_workflow.
SELECT path, trigger FROM hooks WHERE project = ?1 AND slug = ?2 ORDER BY path
