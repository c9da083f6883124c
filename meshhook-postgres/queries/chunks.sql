-- A range of history_pk.
SELECT first_seq, last_seq, hash, chunk FROM meshhook.history
WHERE project = $1 AND run_id = $2 ORDER BY first_seq
