-- One transaction; locks the runs' rows in the order of their keys.
SELECT outcome, owner FROM meshhook.post_v1($1, $2, $3, $4, $5, $6)
