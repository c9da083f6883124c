-- Read transaction; one row of a table that is short, if there is one.
SELECT 1 FROM workers LIMIT 1
