-- By dedupe_pk, once for each key.
SELECT key, run_id, fingerprint FROM meshhook.dedupe
WHERE project = $1 AND key = ANY ($2) AND expires_at > meshhook.now_or($3)
