-- In the transaction of a start, and by itself; by dedupe_pk.
SELECT run_id, fingerprint FROM dedupe WHERE project = ?1 AND scope = ?2 AND key = ?3 AND expires_at > ?4
