-- Down live_runs_pk: for runs that have not ended. Of each run the ends of its history, by history_pk; the list ends when
-- it is large, one more than fits is read.
WITH listed AS MATERIALIZED (
    SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure FROM meshhook.live_runs
    WHERE project = $1 AND run_id <= $2 AND run_id >= $9 AND created_at >= $3 AND created_at < $4
        AND status = $5 AND ($6::text IS NULL OR workflow = $6)
    ORDER BY run_id DESC LIMIT $7
)
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure,
    first_last, first_hash, first_chunk, last_first, last_last, last_hash, last_chunk
FROM (
    SELECT listed.*,
        f.last_seq AS first_last, f.hash AS first_hash, f.chunk AS first_chunk,
        z.first_seq AS last_first, z.last_seq AS last_last, z.hash AS last_hash, z.chunk AS last_chunk,
        sum(octet_length(f.chunk) + coalesce(octet_length(z.chunk), 0)) OVER (ORDER BY listed.run_id DESC)
            - octet_length(f.chunk) - coalesce(octet_length(z.chunk), 0) AS before
    FROM listed
    CROSS JOIN LATERAL (
        SELECT h.last_seq, h.hash, h.chunk FROM meshhook.history h
        WHERE h.project = $1 AND h.run_id = listed.run_id AND h.first_seq = 1) f
    LEFT JOIN LATERAL (
        SELECT h.first_seq, h.last_seq, h.hash, h.chunk FROM meshhook.history h
        WHERE h.project = $1 AND h.run_id = listed.run_id AND h.first_seq > 1
        ORDER BY h.first_seq DESC LIMIT 1) z ON true
) summed
WHERE before <= $8
ORDER BY run_id DESC
