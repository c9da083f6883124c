-- By dedupe_by_expiry.
SELECT meshhook.drop_keys_v1($1, $2) AS dropped
