-- Read transaction; the inbox in order, each message's run by runs_pk: the inbox is short.
SELECT inbox.id, inbox.project, inbox.run_id, inbox.message
FROM inbox CROSS JOIN runs ON runs.project = inbox.project AND runs.run_id = inbox.run_id
WHERE runs.owner = ?1
ORDER BY inbox.id
