-- A range of history_pk from the chunk that holds the next event; it ends when it is large, one more than fits is read.
SELECT first_seq, last_seq, hash, chunk FROM (
    SELECT first_seq, last_seq, hash, chunk,
        sum(octet_length(chunk)) OVER (ORDER BY first_seq) - octet_length(chunk) AS before
    FROM (
        SELECT first_seq, last_seq, hash, chunk FROM meshhook.history
        WHERE project = $1 AND run_id = $2 AND last_seq > $3
            AND first_seq >= coalesce((
                SELECT first_seq FROM meshhook.history
                WHERE project = $1 AND run_id = $2 AND first_seq <= $3 + 1
                ORDER BY first_seq DESC LIMIT 1), 1)
        ORDER BY first_seq LIMIT $4) part) summed
WHERE before <= $5
ORDER BY first_seq
