-- Read transaction, or the writer's; a range of history_by_run, read as far as there is room.
SELECT first_seq, last_seq, text, hash FROM history
WHERE project = ?1 AND run_id = ?2 AND last_seq > ?3
ORDER BY last_seq
