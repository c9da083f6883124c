-- By deliveries_pk.
SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM meshhook.deliveries
WHERE project = $1 AND id = $2 AND expires_at > meshhook.now_or($3)
