-- In the writer's transaction; by hooks_by_workflow.
DELETE FROM hooks WHERE project = ?1 AND slug = ?2
