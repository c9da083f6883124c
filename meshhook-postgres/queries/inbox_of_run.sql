-- A range of inbox_pk, which ends when it is large; one more than fits is read.
SELECT id, message FROM (
    SELECT id, message,
        sum(octet_length(message)) OVER (ORDER BY id) - octet_length(message) AS before
    FROM (
        SELECT id, message FROM meshhook.inbox
        WHERE project = $1 AND run_id = $2 AND id > $3 ORDER BY id LIMIT $4) part) summed
WHERE before <= $5
ORDER BY id
