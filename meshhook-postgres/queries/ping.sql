-- No table.
SELECT meshhook.now_or($1) AS now
