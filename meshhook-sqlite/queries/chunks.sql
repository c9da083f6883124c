-- Read transaction; a range of history_by_run.
SELECT first_seq, last_seq, text, hash FROM history
WHERE project = ?1 AND run_id = ?2 AND last_seq > ?3
ORDER BY last_seq LIMIT ?4
