-- 0005: commits of many runs in one statement.
--
-- A function is one statement, so one round trip and one transaction: nothing is left open when a client goes away, and
-- it works behind a pooler that hands each transaction to another session. Every join here is a loop over the given
-- lists that looks each run up by key. Lists are read by position, `a_run[i]`: a list that is unnested is copied column
-- by column, which costs more than what is done with it.
--
-- Plans must not depend on what a table held when they were made. The sessions of the store say so (see session.rs);
-- only start_in_v1, which runs in sessions of others, says so for itself.
--
-- When a function's arguments change it gets a new number; the old one stays for workers that still call it.
--
-- Who may write, and why no two do
--
-- The transaction is READ COMMITTED (meshhook.enter refuses any other level): each statement below sees what was
-- committed when it began, so also what was waited for.
--
-- * A worker's runs are taken away (claim_v1 of another worker, forget_v1) only with the worker's advisory lock, alone;
--   its commits share that lock, from before they look at their runs until they are visible. So whoever is found to
--   hold a run goes on holding it, and a step locks no row. A claim leaves a worker whose commit is under way for its
--   next look. Two workers whose names have the same hash wait for each other, no more.
-- * Two commits of one worker for one run happen when a reply was lost: the first may still be under way when the
--   second arrives, or arrive after it. Both saw the same history, so both write the same first_seq, and the key of the
--   history lets one pass: the other fails with a unique violation, is made again, and is found stale. Without a chunk
--   both release or end the run's row; who comes second finds a row that is not as it was (owner and claim are asked
--   again where a row is written), and is made again. A call with a commit without a chunk has the worker's lock alone:
--   it writes what holds at a position that no key guards, so that no step may pass it meanwhile.
-- * A run that is released or ended and gets a message: the sender locks the run's row first, as the commit does. If
--   the sender was first, the message is seen by the statement after the one that wrote the row; if the commit was, the
--   sender finds the run released or ended.
-- * Two starts of one run: the key of the history. Two starts with one key: the key of dedupe, see take_keys.
--
-- Locks are taken in one order: the worker's, keys in the order of their values, then runs in the order of their ids, as
-- those who post messages do. Commits that share a run or a key go one after the other in one transaction, which takes all
-- locks on what there is first (lock_v1). What still meets crosswise is found by the server, and the call made again.

-- What went wrong at once with another session: the caller makes the whole call again.
CREATE FUNCTION meshhook.collided(p_what text) RETURNS text
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
        created_at, epoch, claim, strikes, strike_seq, wake_at, finished_at, version, run_id, test, project, workflow, status,
        owner, last_holder, digest, failure)
    SELECT created_at, epoch, claim, strikes, strike_seq, p_now, finished_at, version, run_id, test, project, workflow, status,
        NULL, last_holder, digest, failure
    FROM gone;
    RETURN FOUND;
END
$$;

-- Takes the locks of several commits that follow in the same transaction, in the order in which one commit takes its own.
CREATE FUNCTION meshhook.lock_v1(p_workers text[], p_project text[], p_run uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_worker text;
BEGIN
    FOREACH v_worker IN ARRAY p_workers LOOP
        PERFORM pg_advisory_xact_lock_shared(1835365224, hashtext(v_worker));
    END LOOP;
    PERFORM 1 FROM generate_series(1, cardinality(p_run)) AS i
    CROSS JOIN LATERAL (
        SELECT 1 FROM meshhook.live_runs l
        WHERE l.project = p_project[i] AND l.run_id = p_run[i] FOR NO KEY UPDATE) l;
    v_scope := meshhook.leave(v_scope);
END
$$;

-- Takes the keys p_from to p_to, in the order of their values, for runs that are not refused already; answers how many it
-- took. A key that another run has, and whose time is not over, is left to it, but locked until the transaction ends: who
-- does not know when that will be looks at the key first.
--
-- A key that an open transaction has taken or locked cannot be judged before that ends: it is waited for no longer than
-- p_patience, and then the whole call fails (lock_not_available).
CREATE FUNCTION meshhook.take_keys(
    p_now bigint, p_from integer, p_to integer, p_patience text, s_outcome smallint[], s_project text[], s_run uuid[],
    k_item integer[], k_key bytea[], k_fingerprint bytea[], k_window bigint[]
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_timeout text := current_setting('lock_timeout');
    v_set text := set_config('lock_timeout', p_patience, true);
    v_taken integer;
BEGIN
    INSERT INTO meshhook.dedupe AS d (project, key, run_id, fingerprint, expires_at)
    SELECT s_project[k_item[k]], k_key[k], s_run[k_item[k]], k_fingerprint[k], least(p_now + k_window[k], 253402207200000000)
    FROM generate_series(p_from, p_to) AS k
    WHERE coalesce(s_outcome[k_item[k]], 0) = 0
    ON CONFLICT (project, key) DO UPDATE
    SET run_id = excluded.run_id, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
    WHERE d.expires_at <= p_now;
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    v_set := set_config('lock_timeout', v_timeout, true);
    RETURN v_taken;
END
$$;

-- Starts runs for a worker, each run and each key at most once, runs in the order of project and id, keys in the order of
-- their values. k_item says for which run a key is wanted.
--
-- p_careful: whether to look first which runs exist, and to take keys one by one, so that one that cannot be judged
-- refuses its run only. Without it both fail the whole call, by a unique violation or a lock that is not available, and
-- the caller makes it again with care; that seldom happens, and nothing is paid for it otherwise.
--
-- hold: 0 keep, 1 release until at, 2 end at at, 3 release until now. p_low and p_high are the least and greatest run, so
-- that no partition is opened in vain. s_outcome: 0 committed, 1 exists, 2 duplicate with the same content, 3 duplicate
-- with another, 4 the key cannot be judged now; s_other: of which run. Both null: all are committed.
CREATE FUNCTION meshhook.start_v1(
    p_now bigint, p_worker text, p_low uuid, p_high uuid, p_careful boolean, p_patience text,
    s_project text[], s_run uuid[], s_workflow text[], s_version bigint[], s_digest bytea[], s_created_at bigint[],
    s_test boolean[], s_last bigint[], s_chunk bytea[], s_hash bytea[], s_hold smallint[], s_status text[], s_at bigint[],
    s_failure text[], k_item integer[], k_key bytea[], k_fingerprint bytea[], k_window bigint[],
    OUT s_outcome smallint[], OUT s_other uuid[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_count integer := cardinality(s_run);
    v_keeps boolean := 0 = ANY (s_hold);
    v_waits boolean;
    v_items integer[];
    v_others uuid[];
    v_same boolean[];
    v_item integer;
    v_wanted integer := 0;
    v_taken integer := 0;
BEGIN
    -- Only what is held can be taken away.
    IF v_keeps THEN
        v_waits := pg_advisory_xact_lock_shared(1835365224, hashtext(p_worker)) IS NULL;
    END IF;

    IF p_careful THEN
        s_outcome := array_fill(0::smallint, ARRAY[v_count]);
        s_other := array_fill(NULL::uuid, ARRAY[v_count]);
        SELECT array_agg(i) INTO v_items FROM generate_series(1, v_count) AS i
        CROSS JOIN LATERAL (
            SELECT 1 FROM meshhook.history h
            WHERE h.project = s_project[i] AND h.run_id = s_run[i] AND h.first_seq = 1
                AND h.run_id >= p_low AND h.run_id <= p_high OFFSET 0) h;
        FOREACH v_item IN ARRAY coalesce(v_items, '{}') LOOP
            s_outcome[v_item] := 1;
        END LOOP;
        FOR v_key IN 1..coalesce(cardinality(k_item), 0) LOOP
            CONTINUE WHEN s_outcome[k_item[v_key]] <> 0;
            -- One that another run has for some time yet is not even tried, which would lock it.
            IF EXISTS (
                SELECT 1 FROM meshhook.dedupe d
                WHERE d.project = s_project[k_item[v_key]] AND d.key = k_key[v_key] AND d.expires_at > v_now
            ) THEN
                v_wanted := v_wanted + 1;
                CONTINUE;
            END IF;
            BEGIN
                v_taken := v_taken + meshhook.take_keys(
                    v_now, v_key, v_key, p_patience, s_outcome, s_project, s_run, k_item, k_key, k_fingerprint, k_window);
                v_wanted := v_wanted + 1;
            EXCEPTION WHEN lock_not_available THEN
                s_outcome[k_item[v_key]] := 4;
            END;
        END LOOP;
    ELSIF k_item IS NOT NULL THEN
        v_wanted := cardinality(k_item);
        v_taken := meshhook.take_keys(
            v_now, 1, v_wanted, p_patience, s_outcome, s_project, s_run, k_item, k_key, k_fingerprint, k_window);
    END IF;

    IF v_taken < v_wanted THEN
        SELECT array_agg(k_item[k]), array_agg(d.run_id), array_agg(d.fingerprint = k_fingerprint[k])
        INTO v_items, v_others, v_same
        FROM generate_series(1, cardinality(k_item)) AS k
        CROSS JOIN LATERAL (
            SELECT d.run_id, d.fingerprint FROM meshhook.dedupe d
            WHERE d.project = s_project[k_item[k]] AND d.key = k_key[k] OFFSET 0) d
        WHERE coalesce(s_outcome[k_item[k]], 0) = 0;
        -- Each key has somebody, or else a holder has gone meanwhile.
        IF coalesce(cardinality(v_items), 0) < v_wanted THEN
            v_scope := meshhook.collided('a key was given up while it was looked at');
        END IF;
        s_outcome := coalesce(s_outcome, array_fill(0::smallint, ARRAY[v_count]));
        s_other := coalesce(s_other, array_fill(NULL::uuid, ARRAY[v_count]));
        FOR v_place IN 1..cardinality(v_items) LOOP
            v_item := v_items[v_place];
            CONTINUE WHEN v_others[v_place] = s_run[v_item];
            -- A run that was started before has nothing to do with who has its key now.
            IF EXISTS (
                SELECT 1 FROM meshhook.history h
                WHERE h.project = s_project[v_item] AND h.run_id = s_run[v_item] AND h.first_seq = 1
                    AND h.run_id >= p_low AND h.run_id <= p_high
            ) THEN
                s_outcome[v_item] := 1;
            ELSE
                s_outcome[v_item] := CASE WHEN v_same[v_place] THEN 2 ELSE 3 END;
                s_other[v_item] := v_others[v_place];
            END IF;
        END LOOP;
    END IF;
    IF s_outcome IS NOT NULL THEN
        SELECT bool_or(s_hold[i] = 0 AND s_outcome[i] = 0) INTO v_keeps FROM generate_series(1, v_count) AS i;
    END IF;

    -- The key of the history is what makes a run exist once, whatever another session does at the same time.
    IF 2 <> ANY (s_hold) THEN
        WITH lives AS (
            INSERT INTO meshhook.live_runs (
                created_at, epoch, claim, strikes, strike_seq, wake_at, version, run_id, test, project, workflow, status,
                owner, last_holder, digest)
            SELECT s_created_at[i], 1, 1, 0, 0, CASE WHEN s_hold[i] = 3 THEN v_now ELSE s_at[i] END, s_version[i], s_run[i],
                s_test[i], s_project[i], s_workflow[i], s_status[i], CASE WHEN s_hold[i] = 0 THEN p_worker END, p_worker,
                s_digest[i]
            FROM generate_series(1, v_count) AS i
            WHERE s_hold[i] <> 2 AND coalesce(s_outcome[i], 0) = 0
        ), works AS (
            -- A worker that took no lease has one that ended.
            INSERT INTO meshhook.workers (worker, lease_until, retired)
            SELECT p_worker, v_now, false
            WHERE v_keeps AND NOT EXISTS (SELECT 1 FROM meshhook.workers w WHERE w.worker = p_worker)
            ON CONFLICT DO NOTHING
        )
        INSERT INTO meshhook.history (project, run_id, first_seq, last_seq, hash, chunk)
        SELECT s_project[i], s_run[i], 1, s_last[i], s_hash[i], s_chunk[i]
        FROM generate_series(1, v_count) AS i
        WHERE s_hold[i] <> 2 AND coalesce(s_outcome[i], 0) = 0;
    END IF;
    IF 2 = ANY (s_hold) THEN
        WITH ends AS (
            INSERT INTO meshhook.ended_runs (
                created_at, finished_at, version, run_id, test, project, workflow, status, digest, failure,
                epoch, claim, strikes, strike_seq, last_holder)
            SELECT s_created_at[i], s_at[i], s_version[i], s_run[i], s_test[i], s_project[i], s_workflow[i], s_status[i],
                s_digest[i], s_failure[i],
                CASE WHEN s_status[i] = 'failed' THEN 1 END, CASE WHEN s_status[i] = 'failed' THEN 1 END,
                CASE WHEN s_status[i] = 'failed' THEN 0 END, CASE WHEN s_status[i] = 'failed' THEN 0 END,
                CASE WHEN s_status[i] = 'failed' THEN p_worker END
            FROM generate_series(1, v_count) AS i
            WHERE s_hold[i] = 2 AND coalesce(s_outcome[i], 0) = 0
        )
        INSERT INTO meshhook.history (project, run_id, first_seq, last_seq, hash, chunk)
        SELECT s_project[i], s_run[i], 1, s_last[i], s_hash[i], s_chunk[i]
        FROM generate_series(1, v_count) AS i
        WHERE s_hold[i] = 2 AND coalesce(s_outcome[i], 0) = 0;
    END IF;
    v_scope := meshhook.leave(v_scope);
END
$$;

-- The same within a transaction of somebody else's, whose settings are its own: with care, because an error would end
-- that transaction.
CREATE FUNCTION meshhook.start_in_v1(
    p_now bigint, p_worker text, p_low uuid, p_high uuid, p_careful boolean, p_patience text,
    s_project text[], s_run uuid[], s_workflow text[], s_version bigint[], s_digest bytea[], s_created_at bigint[],
    s_test boolean[], s_last bigint[], s_chunk bytea[], s_hash bytea[], s_hold smallint[], s_status text[], s_at bigint[],
    s_failure text[], k_item integer[], k_key bytea[], k_fingerprint bytea[], k_window bigint[],
    OUT s_outcome smallint[], OUT s_other uuid[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_memoize = off SET enable_material = off SET enable_sort = off SET enable_incremental_sort = off
AS $$
BEGIN
    SELECT s.s_outcome, s.s_other INTO s_outcome, s_other FROM meshhook.start_v1(
        p_now, p_worker, p_low, p_high, p_careful, p_patience, s_project, s_run, s_workflow, s_version, s_digest,
        s_created_at, s_test, s_last, s_chunk, s_hash, s_hold, s_status, s_at, s_failure, k_item, k_key, k_fingerprint,
        k_window) AS s;
END
$$;

-- Continues runs that a worker holds, each at most once, in the order of project and id. An advance stands after the
-- position that it names; one without last has no chunk. c_ are the messages that the advance c_item consumed. hold,
-- p_low and p_high are those of start_v1; without a_at and a_failure none has one. a_done: which are committed; null: all.
CREATE FUNCTION meshhook.advance_v1(
    p_now bigint, p_worker text, p_low uuid, p_high uuid,
    a_project text[], a_run uuid[], a_claim bigint[], a_after bigint[], a_last bigint[], a_chunk bytea[], a_hash bytea[],
    a_hold smallint[], a_status text[], a_at bigint[], a_failure text[], c_item integer[], c_id bigint[],
    OUT a_done boolean[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_scope text := meshhook.enter();
    v_count integer := cardinality(a_run);
    v_now bigint;
    v_waits boolean := CASE WHEN array_position(a_last, NULL::bigint) IS NULL
        THEN pg_advisory_xact_lock_shared(1835365224, hashtext(p_worker)) IS NULL
        ELSE pg_advisory_xact_lock(1835365224, hashtext(p_worker)) IS NULL END;
    v_rewritten boolean;
    v_items integer[];
    v_places tid[];
    v_messages integer[];
    v_released integer;
    v_ended integer;
    v_rows integer;
    v_item integer;
BEGIN
    WITH fenced AS MATERIALIZED (
        SELECT i, l.ctid, l.status
        FROM generate_series(1, v_count) AS i
        CROSS JOIN LATERAL (
            SELECT l.ctid, l.status FROM meshhook.live_runs l
            WHERE l.project = a_project[i] AND l.run_id = a_run[i]
                AND l.owner IS NOT DISTINCT FROM p_worker AND l.claim = a_claim[i] OFFSET 0) l
        WHERE a_after[i] = (
            SELECT h.last_seq FROM meshhook.history h
            WHERE h.project = a_project[i] AND h.run_id = a_run[i] AND h.run_id >= p_low AND h.run_id <= p_high
            ORDER BY h.first_seq DESC LIMIT 1)
    ), written AS (
        INSERT INTO meshhook.history (project, run_id, first_seq, last_seq, hash, chunk)
        SELECT a_project[i], a_run[i], a_after[i] + 1, a_last[i], a_hash[i], a_chunk[i]
        FROM fenced WHERE a_last[i] IS NOT NULL
    )
    SELECT array_agg(i), array_agg(ctid), bool_or(a_hold[i] = 0 AND status <> a_status[i])
    INTO v_items, v_places, v_rewritten
    FROM fenced;
    v_ended := cardinality(array_positions(a_hold, 2::smallint));
    v_released := cardinality(array_positions(a_hold, 1::smallint)) + cardinality(array_positions(a_hold, 3::smallint));

    IF v_items IS NULL OR cardinality(v_items) < v_count THEN
        a_done := array_fill(false, ARRAY[v_count]);
        FOREACH v_item IN ARRAY coalesce(v_items, '{}') LOOP
            a_done[v_item] := true;
        END LOOP;
        FOR v_item IN 1..v_count LOOP
            CONTINUE WHEN a_done[v_item];
            v_ended := v_ended - (a_hold[v_item] = 2)::integer;
            v_released := v_released - (a_hold[v_item] IN (1, 3))::integer;
        END LOOP;
    END IF;

    IF c_item IS NOT NULL THEN
        DELETE FROM meshhook.inbox x WHERE x.ctid = ANY (ARRAY(
            SELECT x.ctid FROM generate_series(1, cardinality(c_item)) AS c
            CROSS JOIN LATERAL (
                SELECT x.ctid FROM meshhook.inbox x
                WHERE x.project = a_project[c_item[c]] AND x.run_id = a_run[c_item[c]] AND x.id = c_id[c] OFFSET 0) x
            WHERE coalesce(a_done[c_item[c]], true)));
    END IF;

    -- Different kinds of changes are different statements: who makes several locks the rows of all of them first.
    IF (coalesce(v_rewritten, false)::integer + (v_released > 0)::integer + (v_ended > 0)::integer) > 1 THEN
        PERFORM 1 FROM generate_series(1, cardinality(v_items)) AS p
        CROSS JOIN LATERAL (
            SELECT 1 FROM meshhook.live_runs l
            WHERE l.project = a_project[v_items[p]] AND l.run_id = a_run[v_items[p]]
                AND (a_hold[v_items[p]] <> 0 OR l.status <> a_status[v_items[p]]) FOR NO KEY UPDATE) l;
    END IF;

    -- Rows of runs are found again by their place. Nobody moves a run that is held; whatever lies there is asked again
    -- for what the fence asked.

    -- A run that is kept is written only when its status is another.
    IF v_rewritten THEN
        UPDATE meshhook.live_runs l
        SET status = a_status[v_items[p]], finished_at = NULL, failure = NULL
        FROM generate_series(1, cardinality(v_items)) AS p
        WHERE a_hold[v_items[p]] = 0 AND l.ctid = v_places[p]
            AND l.project = a_project[v_items[p]] AND l.run_id = a_run[v_items[p]]
            AND l.owner IS NOT DISTINCT FROM p_worker AND l.claim = a_claim[v_items[p]]
            AND l.status <> a_status[v_items[p]];
    END IF;

    IF v_released > 0 THEN
        v_now := meshhook.now_or(p_now);
        UPDATE meshhook.live_runs l
        SET owner = NULL, wake_at = CASE WHEN a_hold[v_items[p]] = 3 THEN v_now ELSE a_at[v_items[p]] END,
            status = a_status[v_items[p]], finished_at = NULL, failure = NULL
        FROM generate_series(1, cardinality(v_items)) AS p
        WHERE a_hold[v_items[p]] IN (1, 3) AND l.ctid = v_places[p]
            AND l.project = a_project[v_items[p]] AND l.run_id = a_run[v_items[p]]
            AND l.owner IS NOT DISTINCT FROM p_worker AND l.claim = a_claim[v_items[p]];
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> v_released THEN
            v_scope := meshhook.collided('a run was given away while it was released');
        END IF;
        -- Whoever posts locks the run's row first, as the statement above did: a message is seen here, or its
        -- sender sees that the run is released.
        SELECT array_agg(v_items[p]) INTO v_messages FROM generate_series(1, cardinality(v_items)) AS p
        CROSS JOIN LATERAL (
            SELECT 1 FROM meshhook.inbox x
            WHERE x.project = a_project[v_items[p]] AND x.run_id = a_run[v_items[p]] LIMIT 1) x
        WHERE a_hold[v_items[p]] IN (1, 3);
        FOREACH v_item IN ARRAY coalesce(v_messages, '{}') LOOP
            UPDATE meshhook.live_runs l SET wake_at = least(coalesce(l.wake_at, v_now), v_now)
            WHERE l.project = a_project[v_item] AND l.run_id = a_run[v_item];
        END LOOP;
    END IF;

    IF v_ended > 0 THEN
        WITH gone AS (
            DELETE FROM meshhook.live_runs l
            USING generate_series(1, cardinality(v_items)) AS p
            WHERE a_hold[v_items[p]] = 2 AND l.ctid = v_places[p]
                AND l.project = a_project[v_items[p]] AND l.run_id = a_run[v_items[p]]
                AND l.owner IS NOT DISTINCT FROM p_worker AND l.claim = a_claim[v_items[p]]
            RETURNING v_items[p] AS i, l.created_at, l.epoch, l.claim, l.strikes, l.strike_seq, l.version, l.run_id, l.test,
                l.project, l.workflow, l.last_holder, l.digest
        )
        INSERT INTO meshhook.ended_runs (
            created_at, finished_at, version, run_id, test, project, workflow, status, digest, failure,
            epoch, claim, strikes, strike_seq, last_holder)
        SELECT created_at, a_at[i], version, run_id, test, project, workflow, a_status[i], digest, a_failure[i],
            CASE WHEN a_status[i] = 'failed' THEN epoch END, CASE WHEN a_status[i] = 'failed' THEN claim END,
            CASE WHEN a_status[i] = 'failed' THEN strikes END,
            CASE WHEN a_status[i] = 'failed' THEN strike_seq END, CASE WHEN a_status[i] = 'failed' THEN last_holder END
        FROM gone;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> v_ended THEN
            v_scope := meshhook.collided('a run was given away while it ended');
        END IF;
        -- Seen after the rows were written, for the same reason.
        SELECT array_agg(v_items[p]) INTO v_messages FROM generate_series(1, cardinality(v_items)) AS p
        CROSS JOIN LATERAL (
            SELECT 1 FROM meshhook.inbox x
            WHERE x.project = a_project[v_items[p]] AND x.run_id = a_run[v_items[p]] LIMIT 1) x
        WHERE a_hold[v_items[p]] = 2;
        FOREACH v_item IN ARRAY coalesce(v_messages, '{}') LOOP
            IF a_status[v_item] <> 'failed' THEN
                DELETE FROM meshhook.inbox x WHERE x.project = a_project[v_item] AND x.run_id = a_run[v_item];
            ELSIF EXISTS (
                SELECT 1 FROM meshhook.inbox x
                WHERE x.project = a_project[v_item] AND x.run_id = a_run[v_item] AND x.is_retry
            ) THEN
                v_waits := meshhook.revive(a_project[v_item], a_run[v_item], meshhook.now_or(p_now));
            ELSE
                -- They wait for a retry, and who takes the run then reads them: nobody is to look for them until then.
                UPDATE meshhook.inbox x SET owner = NULL
                WHERE x.project = a_project[v_item] AND x.run_id = a_run[v_item] AND x.owner IS NOT NULL;
            END IF;
        END LOOP;
    END IF;
    v_scope := meshhook.leave(v_scope);
END
$$;

-- Only roles that they were granted to may call them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
