-- 0005: commits of many runs in one statement.
--
-- A function is one statement, so one round trip and one transaction: nothing is left open when a client goes away, and
-- it works behind a pooler that hands each transaction to another session. Its settings are its own: the scope of the
-- wall, and plans that cannot go wrong. Every join here is a loop over the given rows that looks each up by key; a
-- generic plan that was made while the tables were tiny must not freeze anything else.
--
-- When a function's arguments change it gets a new number; the old one stays for workers that still call it.

-- What went wrong at once with another session: the caller makes the whole call again.
CREATE FUNCTION meshhook.collided(p_what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'meshhook: %', p_what USING ERRCODE = 'serialization_failure';
END
$$;

-- A failed run that is to be retried goes back among the live ones, due now. Answers whether there was one.
CREATE FUNCTION meshhook.revive(p_project text, p_run uuid, p_now bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH gone AS (
        DELETE FROM meshhook.ended_runs e
        WHERE e.project = p_project AND e.run_id = p_run AND e.status = 'failed'
        RETURNING e.*
    )
    INSERT INTO meshhook.live_runs (
        created_at, epoch, strikes, strike_seq, wake_at, finished_at, version, run_id, test, project, workflow, status,
        owner, last_holder, digest, failure)
    SELECT created_at, epoch, strikes, strike_seq, p_now, finished_at, version, run_id, test, project, workflow, status,
        NULL, last_holder, digest, failure
    FROM gone;
    RETURN FOUND;
END
$$;

-- Commits starts (s_) and advances (a_), each run at most once and each key at most once, sorted by project and run.
--
-- hold: 0 keep, 1 release until at, 2 end at at, 3 release until now. An advance without first has no chunk. c_ are consumed messages of the
-- advance c_item. p_low and p_high are the least and greatest run, so that no partition is opened in vain.
-- s_outcome: 0 committed, 1 exists, 2 duplicate with the same content, 3 duplicate with another; s_other: of which run.
CREATE FUNCTION meshhook.commit_v1(
    p_now bigint, p_workers text[], p_low uuid, p_high uuid,
    s_project text[], s_run uuid[], s_workflow text[], s_version bigint[], s_digest bytea[], s_created_at bigint[],
    s_test boolean[], s_worker text[], s_last bigint[], s_chunk bytea[], s_hash bytea[], s_hold smallint[],
    s_status text[], s_at bigint[], s_failure text[], s_key bytea[], s_fingerprint bytea[], s_window bigint[],
    a_project text[], a_run uuid[], a_worker text[], a_epoch bigint[], a_first bigint[], a_last bigint[],
    a_chunk bytea[], a_hash bytea[], a_hold smallint[], a_status text[], a_at bigint[], a_failure text[],
    c_item integer[], c_id bigint[],
    OUT s_outcome smallint[], OUT s_other uuid[], OUT a_done boolean[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_memoize = off SET enable_material = off SET enable_sort = off SET enable_incremental_sort = off
AS $$
#variable_conflict use_column
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_row record;
    v_worker text;
    v_rows bigint;
    v_expected bigint;
    v_rewritten boolean := false;
    v_holds bigint[] := ARRAY[0, 0, 0, 0];
    v_chunks bigint := 0;
BEGIN
    -- Whoever takes runs away from a worker has its lock alone; its commits share it. So what is read below about a
    -- worker's runs stays true until this commit is visible, and no row is locked per step.
    FOREACH v_worker IN ARRAY p_workers LOOP
        PERFORM pg_advisory_xact_lock_shared(1835365224, hashtext(v_worker));
    END LOOP;

    IF cardinality(s_run) > 0 THEN
        v_expected := cardinality(s_run);
        s_outcome := array_fill(0::smallint, ARRAY[v_expected::integer]);
        s_other := array_fill(NULL::uuid, ARRAY[v_expected::integer]);
        FOR v_row IN
            SELECT s.i FROM unnest(s_project, s_run) WITH ORDINALITY AS s (project, run, i)
            WHERE EXISTS (
                SELECT 1 FROM meshhook.history h
                WHERE h.project = s.project AND h.run_id = s.run AND h.first_seq = 1
                    AND h.run_id >= p_low AND h.run_id <= p_high)
        LOOP
            s_outcome[v_row.i] := 1;
            v_expected := v_expected - 1;
        END LOOP;

        IF s_key IS NOT NULL THEN
            INSERT INTO meshhook.dedupe AS d (project, key, run_id, fingerprint, expires_at)
            SELECT s.project, s.key, s.run, s.fingerprint, least(v_now + s.keep, 253402207200000000)
            FROM unnest(s_project, s_run, s_outcome, s_key, s_fingerprint, s_window)
                AS s (project, run, outcome, key, fingerprint, keep)
            WHERE s.key IS NOT NULL AND s.outcome = 0
            ORDER BY s.project, s.key
            ON CONFLICT (project, key) DO UPDATE
            SET run_id = excluded.run_id, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
            WHERE d.expires_at <= v_now;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows < (
                SELECT count(*) FROM unnest(s_key, s_outcome) AS s (key, outcome)
                WHERE s.key IS NOT NULL AND s.outcome = 0
            ) THEN
                FOR v_row IN
                    SELECT s.i, d.run_id AS other, d.fingerprint = s.fingerprint AS same
                    FROM unnest(s_project, s_run, s_outcome, s_key, s_fingerprint)
                        WITH ORDINALITY AS s (project, run, outcome, key, fingerprint, i)
                    JOIN meshhook.dedupe d ON d.project = s.project AND d.key = s.key
                    WHERE s.key IS NOT NULL AND s.outcome = 0 AND d.run_id <> s.run
                LOOP
                    s_outcome[v_row.i] := CASE WHEN v_row.same THEN 2 ELSE 3 END;
                    s_other[v_row.i] := v_row.other;
                    v_expected := v_expected - 1;
                END LOOP;
            END IF;
        END IF;

        IF v_expected > 0 THEN
            -- The key of the history is what makes a run exist once, whatever another session does at the same time.
            INSERT INTO meshhook.history (project, run_id, first_seq, last_seq, hash, chunk)
            SELECT s.project, s.run, 1, s.last, s.hash, s.chunk
            FROM unnest(s_project, s_run, s_outcome, s_last, s_hash, s_chunk)
                AS s (project, run, outcome, last, hash, chunk)
            WHERE s.outcome = 0
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> v_expected THEN
                PERFORM meshhook.collided('a run was started twice at once');
            END IF;
        END IF;
        IF v_expected > 0 AND 2 <> ANY (s_hold) THEN
            INSERT INTO meshhook.live_runs (
                created_at, epoch, strikes, strike_seq, wake_at, version, run_id, test, project, workflow, status, owner,
                last_holder, digest)
            SELECT s.created_at, 1, 0, 0, CASE WHEN s.hold = 3 THEN v_now ELSE s.at END, s.version, s.run, s.test, s.project, s.workflow, s.status,
                CASE WHEN s.hold = 0 THEN s.worker END, s.worker, s.digest
            FROM unnest(s_project, s_run, s_outcome, s_workflow, s_version, s_digest, s_created_at, s_test, s_worker,
                s_hold, s_status, s_at)
                AS s (project, run, outcome, workflow, version, digest, created_at, test, worker, hold, status, at)
            WHERE s.outcome = 0 AND s.hold <> 2;
            -- A worker that took no lease has one that ended.
            IF 0 = ANY (s_hold) THEN
                INSERT INTO meshhook.workers (worker, lease_until, retired)
                SELECT DISTINCT s.worker, v_now, false
                FROM unnest(s_outcome, s_worker, s_hold) AS s (outcome, worker, hold)
                WHERE s.outcome = 0 AND s.hold = 0
                ON CONFLICT DO NOTHING;
            END IF;
        END IF;
        IF v_expected > 0 AND 2 = ANY (s_hold) THEN
            INSERT INTO meshhook.ended_runs (
                created_at, finished_at, version, run_id, test, project, workflow, status, digest, failure,
                epoch, strikes, strike_seq, last_holder)
            SELECT s.created_at, s.at, s.version, s.run, s.test, s.project, s.workflow, s.status, s.digest, s.failure,
                CASE WHEN s.status = 'failed' THEN 1 END, CASE WHEN s.status = 'failed' THEN 0 END,
                CASE WHEN s.status = 'failed' THEN 0 END, CASE WHEN s.status = 'failed' THEN s.worker END
            FROM unnest(s_project, s_run, s_outcome, s_workflow, s_version, s_digest, s_created_at, s_test, s_worker,
                s_hold, s_status, s_at, s_failure)
                AS s (project, run, outcome, workflow, version, digest, created_at, test, worker, hold, status, at, failure)
            WHERE s.outcome = 0 AND s.hold = 2;
        END IF;
    END IF;

    IF cardinality(a_run) > 0 THEN
        a_done := array_fill(false, ARRAY[cardinality(a_run)]);
        FOR v_row IN
            SELECT a.i, a.hold, a.first IS NOT NULL AS has_chunk,
                a.hold = 0 AND l.status <> a.status AS rewritten
            FROM unnest(a_project, a_run, a_worker, a_epoch, a_first, a_hold, a_status)
                WITH ORDINALITY AS a (project, run, worker, epoch, first, hold, status, i)
            JOIN meshhook.live_runs l ON l.project = a.project AND l.run_id = a.run
            WHERE l.owner = a.worker AND l.epoch = a.epoch
                AND (a.first IS NULL OR a.first - 1 = (
                    SELECT h.last_seq FROM meshhook.history h
                    WHERE h.project = a.project AND h.run_id = a.run AND h.run_id >= p_low AND h.run_id <= p_high
                    ORDER BY h.first_seq DESC LIMIT 1))
        LOOP
            a_done[v_row.i] := true;
            v_holds[v_row.hold + 1] := v_holds[v_row.hold + 1] + 1;
            v_rewritten := v_rewritten OR coalesce(v_row.rewritten, false);
            IF v_row.has_chunk THEN
                v_chunks := v_chunks + 1;
            END IF;
        END LOOP;

        IF v_chunks > 0 THEN
            INSERT INTO meshhook.history (project, run_id, first_seq, last_seq, hash, chunk)
            SELECT a.project, a.run, a.first, a.last, a.hash, a.chunk
            FROM unnest(a_project, a_run, a_done, a_first, a_last, a_hash, a_chunk)
                AS a (project, run, done, first, last, hash, chunk)
            WHERE a.done AND a.first IS NOT NULL
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> v_chunks THEN
                PERFORM meshhook.collided('a history was written twice at once');
            END IF;
        END IF;

        IF cardinality(c_id) > 0 THEN
            DELETE FROM meshhook.inbox x USING unnest(c_item, c_id) AS c (item, id)
            WHERE a_done[c.item] AND x.project = a_project[c.item] AND x.run_id = a_run[c.item] AND x.id = c.id;
        END IF;

        -- A run that is kept is written only when its status is another.
        IF v_rewritten THEN
            UPDATE meshhook.live_runs l
            SET status = a.status, finished_at = NULL, failure = NULL
            FROM unnest(a_project, a_run, a_done, a_hold, a_status) AS a (project, run, done, hold, status)
            WHERE a.done AND a.hold = 0 AND l.project = a.project AND l.run_id = a.run AND l.status <> a.status;
        END IF;

        IF v_holds[2] + v_holds[4] > 0 THEN
            UPDATE meshhook.live_runs l
            SET owner = NULL, wake_at = CASE WHEN a.hold = 3 THEN v_now ELSE a.at END, status = a.status,
                finished_at = NULL, failure = NULL
            FROM unnest(a_project, a_run, a_done, a_worker, a_epoch, a_hold, a_status, a_at)
                AS a (project, run, done, worker, epoch, hold, status, at)
            WHERE a.done AND a.hold IN (1, 3) AND l.project = a.project AND l.run_id = a.run
                AND l.owner = a.worker AND l.epoch = a.epoch;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> v_holds[2] + v_holds[4] THEN
                PERFORM meshhook.collided('a run was given away while it was released');
            END IF;
            -- Whoever posts locks the run's row first, as the statement above did: a message is seen here, or its
            -- sender sees that the run is released.
            UPDATE meshhook.live_runs l SET wake_at = least(coalesce(l.wake_at, v_now), v_now)
            FROM unnest(a_project, a_run, a_done, a_hold) AS a (project, run, done, hold)
            WHERE a.done AND a.hold IN (1, 3) AND l.project = a.project AND l.run_id = a.run
                AND EXISTS (SELECT 1 FROM meshhook.inbox x WHERE x.project = a.project AND x.run_id = a.run);
        END IF;

        IF v_holds[3] > 0 THEN
            WITH gone AS (
                DELETE FROM meshhook.live_runs l
                USING unnest(a_project, a_run, a_done, a_worker, a_epoch, a_hold, a_status, a_at, a_failure)
                    AS a (project, run, done, worker, epoch, hold, status, at, failure)
                WHERE a.done AND a.hold = 2 AND l.project = a.project AND l.run_id = a.run
                    AND l.owner = a.worker AND l.epoch = a.epoch
                RETURNING l.created_at, l.epoch, l.strikes, l.strike_seq, l.version, l.run_id, l.test, l.project,
                    l.workflow, l.last_holder, l.digest, a.at, a.status, a.failure
            )
            INSERT INTO meshhook.ended_runs (
                created_at, finished_at, version, run_id, test, project, workflow, status, digest, failure,
                epoch, strikes, strike_seq, last_holder)
            SELECT created_at, at, version, run_id, test, project, workflow, status, digest, failure,
                CASE WHEN status = 'failed' THEN epoch END, CASE WHEN status = 'failed' THEN strikes END,
                CASE WHEN status = 'failed' THEN strike_seq END, CASE WHEN status = 'failed' THEN last_holder END
            FROM gone;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            IF v_rows <> v_holds[3] THEN
                PERFORM meshhook.collided('a run was given away while it ended');
            END IF;
            FOR v_row IN
                SELECT w.project, w.run, w.status, w.retry
                FROM (
                    SELECT a.project, a.run, a.status, (
                        SELECT bool_or(x.is_retry) FROM meshhook.inbox x
                        WHERE x.project = a.project AND x.run_id = a.run) AS retry
                    FROM unnest(a_project, a_run, a_done, a_hold, a_status) AS a (project, run, done, hold, status)
                    WHERE a.done AND a.hold = 2) w
                WHERE w.retry IS NOT NULL
            LOOP
                IF v_row.status <> 'failed' THEN
                    DELETE FROM meshhook.inbox x WHERE x.project = v_row.project AND x.run_id = v_row.run;
                ELSIF v_row.retry THEN
                    PERFORM meshhook.revive(v_row.project, v_row.run, v_now);
                END IF;
            END LOOP;
        END IF;
    END IF;
    PERFORM meshhook.leave(v_scope);
END
$$;
