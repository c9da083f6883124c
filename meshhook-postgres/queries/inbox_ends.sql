-- A range of inbox_pk, which is bounded. Nulls when nothing waits.
SELECT min(id) AS first, max(id) AS last FROM meshhook.inbox WHERE project = $1 AND run_id = $2
