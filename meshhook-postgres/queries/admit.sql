-- By rates_pk; rows are locked in the order of their keys.
SELECT a_full_at, a_tokens, a_now FROM meshhook.admit_v1($1, $2, $3, $4, $5, $6)
