-- By dedupe_pk.
SELECT run_id, fingerprint FROM meshhook.dedupe
WHERE project = $1 AND key = $2 AND expires_at > meshhook.now_or($3)
