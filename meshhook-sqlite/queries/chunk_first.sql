-- Read transaction; the start of a range of history_by_run.
SELECT first_seq, last_seq, text, hash FROM history
WHERE project = ?1 AND run_id = ?2
ORDER BY last_seq LIMIT 1
