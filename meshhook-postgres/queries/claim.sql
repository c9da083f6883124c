-- One transaction; locking and indexes are described at the functions.
SELECT place, looked_at, next_wake_up, message_projects, message_runs,
    project, run_id, workflow, version, digest, created_at, test, status, finished_at, failure,
    epoch, claim, strikes, first_seqs, last_seqs, hashes, chunks, pg_backend_pid() AS session,
    CASE WHEN place = 0 THEN meshhook.next_schedule_v1() END AS next_schedule
FROM meshhook.claim_v1($1, $2, $3, $4, $5, $6, $7)
