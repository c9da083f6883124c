-- Down deliveries_pk; the list ends when it is large, one more than fits is read.
SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM (
    SELECT part.*,
        sum(octet_length(facts) + coalesce(octet_length(sealed), 0)) OVER (ORDER BY id DESC)
            - octet_length(facts) - coalesce(octet_length(sealed), 0) AS before
    FROM (
        SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM meshhook.deliveries
        WHERE project = $1 AND id <= $2 AND id >= $10 AND expires_at > (SELECT meshhook.now_or($3))
            AND at >= $4 AND at < $5
            AND ($6::text IS NULL OR workflow = $6) AND ($7::text IS NULL OR verdict = $7)
        ORDER BY id DESC LIMIT $8) part) summed
WHERE before <= $9
ORDER BY id DESC
