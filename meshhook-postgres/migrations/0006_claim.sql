-- 0006: leases, and taking runs that are due or orphaned.
--
-- A look that finds nothing due costs a step in an index, however many runs wait in however many projects. What has been
-- due for longest is read, a few times what may be taken. Where that is not all, some projects are visited as well, by
-- one step each, from where the worker's last look left off, and a few runs are read of each: so none waits until what
-- others left before it is done, and no look reads more the more there is. Dead workers are visited by one step for each
-- project of theirs.

-- Renews the worker's lease, then takes runs. The row with place 0 is about the look itself: the time, when the next run
-- wakes up, and for which runs that the worker held before messages wait, at most p_messages. The others are the runs in
-- the order in which they were chosen, each with its record as it stands and its history; the run with which the
-- histories reach p_bytes is the last.
CREATE FUNCTION meshhook.claim_v1(
    p_now bigint, p_worker text, p_lease bigint, p_limit bigint, p_suspects bigint, p_bytes bigint,
    p_messages bigint
)
RETURNS TABLE (
    place bigint, looked_at bigint, next_wake_up bigint, message_projects text[], message_runs uuid[],
    project text, run_id uuid, workflow text, version bigint, digest bytea, created_at bigint, test boolean,
    status text, finished_at bigint, failure text, epoch bigint, claim bigint, strikes bigint,
    first_seqs bigint[], last_seqs bigint[], hashes bytea[], chunks bytea[]
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
    v_project text;
    v_message_projects text[];
    v_message_runs uuid[];
    v_next bigint;
    v_is_due boolean;
    v_seen bigint;
    v_visited text;
    v_from text;
    v_to text;
    v_visits bigint;
    v_found text[];
    v_due text[] := '{}';
    v_dead record;
    o_owner text[] := '{}';
    o_project text[] := '{}';
    o_since bigint[] := '{}';
    o_retired boolean[] := '{}';
    -- Other workers may have locked the first candidates: some more are read than are taken.
    v_enough bigint := greatest(least(p_limit, 10000), 16);
    v_some bigint := v_enough * 4;
    v_each bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1835365224, hashtext(p_worker));
    INSERT INTO meshhook.workers AS w (worker, lease_until, retired)
    VALUES (p_worker, least(v_now + p_lease, 253402207200000000), false)
    ON CONFLICT (worker) DO UPDATE SET lease_until = excluded.lease_until, retired = false
    RETURNING w.visited INTO v_visited;

    -- By inbox_by_owner: who held the run when the message came, or took it since. A run may have moved on. A message that
    -- came at the moment in which its run was taken is not among them: who takes a run over reads its messages anyway.
    IF p_messages > 0 THEN
        SELECT array_agg(m.project ORDER BY m.project, m.run_id), array_agg(m.run_id ORDER BY m.project, m.run_id)
        INTO v_message_projects, v_message_runs
        FROM (
            SELECT d.project, d.run_id
            FROM (
                SELECT DISTINCT ON (x.owner, x.project, x.run_id) x.owner, x.project, x.run_id FROM meshhook.inbox x
                WHERE x.owner >= p_worker AND x.owner <= p_worker
                ORDER BY x.owner, x.project, x.run_id) d
            WHERE (SELECT l.owner FROM meshhook.live_runs l WHERE l.project = d.project AND l.run_id = d.run_id) = p_worker
            LIMIT p_messages) m;
    END IF;

    -- By live_runs_wake.
    SELECT l.wake_at INTO v_next FROM meshhook.live_runs l WHERE l.wake_at IS NOT NULL ORDER BY l.wake_at LIMIT 1;
    v_is_due := coalesce(v_next <= v_now, false) AND p_limit > 0;
    IF v_is_due THEN
        SELECT count(*) INTO v_seen
        FROM (SELECT 1 FROM meshhook.live_runs l WHERE l.wake_at <= v_now ORDER BY l.wake_at LIMIT v_some) e;
        IF v_seen >= v_some THEN
            -- There is more: projects after the last one visited, then those before, the earliest run of each.
            v_from := v_visited;
            v_to := NULL;
            v_visits := v_some;
            LOOP
                WITH RECURSIVE earliest AS (
                    (SELECT 1 AS visit, l.project, l.wake_at FROM meshhook.live_runs l
                    WHERE l.wake_at IS NOT NULL AND l.project > v_from ORDER BY l.project, l.wake_at LIMIT 1)
                    UNION ALL
                    SELECT e.visit + 1, n.project, n.wake_at FROM earliest e
                    CROSS JOIN LATERAL (
                        SELECT l.project, l.wake_at FROM meshhook.live_runs l
                        WHERE l.wake_at IS NOT NULL AND l.project > e.project ORDER BY l.project, l.wake_at LIMIT 1) n
                    WHERE e.visit < v_visits AND (v_to IS NULL OR n.project <= v_to)
                )
                SELECT array_agg(e.project) FILTER (WHERE e.wake_at <= v_now), max(e.project), v_visits - count(*)
                INTO v_found, v_project, v_visits
                FROM earliest e WHERE v_to IS NULL OR e.project <= v_to;
                v_due := v_due || coalesce(v_found, '{}');
                v_visited := coalesce(v_project, v_visited);
                EXIT WHEN v_to IS NOT NULL OR v_from = '' OR v_visits <= 0;
                v_to := v_from;
                v_from := '';
            END LOOP;
            -- More projects than can be given something are left for the next look.
            IF cardinality(v_due) > v_enough THEN
                v_due := v_due[1:v_enough];
                v_visited := v_due[v_enough];
            END IF;
            v_each := greatest(4, v_some / greatest(cardinality(v_due), 1));
            UPDATE meshhook.workers w SET visited = v_visited WHERE w.worker = p_worker;
        END IF;
    END IF;

    FOR v_dead IN
        SELECT w.worker, w.lease_until, w.retired FROM meshhook.workers w
        WHERE w.lease_until <= v_now AND w.worker <> p_worker
        ORDER BY w.worker
    LOOP
        -- A worker whose commit is under way is left for the next look; so is one that renews its lease at this moment,
        -- or did since it was read.
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(1835365224, hashtext(v_dead.worker));
        PERFORM 1 FROM meshhook.workers w
        WHERE w.worker = v_dead.worker AND w.lease_until <= v_now FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        v_project := '';
        LOOP
            SELECT l.project INTO v_project FROM meshhook.live_runs l
            WHERE (l.owner, l.project) > (v_dead.worker, v_project) AND l.owner <= v_dead.worker
            ORDER BY l.owner, l.project LIMIT 1;
            EXIT WHEN NOT FOUND;
            o_owner := o_owner || v_dead.worker;
            o_project := o_project || v_project;
            o_since := o_since || v_dead.lease_until;
            o_retired := o_retired || v_dead.retired;
        END LOOP;
    END LOOP;

    IF v_is_due OR (p_limit > 0 AND cardinality(o_owner) > 0) THEN
        RETURN QUERY
        WITH candidates AS MATERIALIZED (
            SELECT u.project, u.run_id, u.claim, u.wake_at AS since, NULL::text AS owner, false AS retired, false AS suspect,
                cardinality(v_due) > 0 AND u.project <> ALL (v_due) AS fills
            FROM (
                (SELECT l.project, l.run_id, l.claim, l.wake_at FROM meshhook.live_runs l
                WHERE l.wake_at <= v_now AND v_is_due ORDER BY l.wake_at LIMIT v_some)
                UNION
                SELECT d.project, c.run_id, c.claim, c.wake_at
                FROM unnest(v_due) AS d (project)
                CROSS JOIN LATERAL (
                    SELECT l.run_id, l.claim, l.wake_at FROM meshhook.live_runs l
                    WHERE l.project = d.project AND l.wake_at <= v_now
                    ORDER BY l.wake_at, l.run_id LIMIT v_each) c) u
            UNION ALL
            SELECT o.project, c.run_id, c.claim, o.since, o.owner, o.retired, false, false
            FROM unnest(o_owner, o_project, o_since, o_retired) AS o (owner, project, since, retired)
            CROSS JOIN LATERAL (
                SELECT l.run_id, l.claim FROM meshhook.live_runs l
                WHERE l.owner >= o.owner AND l.owner <= o.owner AND l.project = o.project
                    AND (o.retired OR l.strikes = 0 OR l.strike_seq + 1 < (
                        SELECT h.last_seq FROM meshhook.history h
                        WHERE h.project = l.project AND h.run_id = l.run_id ORDER BY h.first_seq DESC LIMIT 1))
                ORDER BY l.owner, l.project, l.run_id LIMIT v_some) c
            UNION ALL
            SELECT o.project, c.run_id, c.claim, o.since, o.owner, o.retired, true, false
            FROM unnest(o_owner, o_project, o_since, o_retired) AS o (owner, project, since, retired)
            CROSS JOIN LATERAL (
                SELECT l.run_id, l.claim FROM meshhook.live_runs l
                WHERE l.owner >= o.owner AND l.owner <= o.owner AND l.project = o.project AND l.strikes > 0 AND NOT o.retired
                    AND l.strike_seq + 1 >= (
                        SELECT h.last_seq FROM meshhook.history h
                        WHERE h.project = l.project AND h.run_id = l.run_id ORDER BY h.first_seq DESC LIMIT 1)
                ORDER BY l.owner, l.project, l.run_id LIMIT p_suspects) c
        ),
        suspects AS MATERIALIZED (
            SELECT s.project, s.run_id, s.claim, s.since, s.owner, s.retired
            FROM (
                SELECT c.*, row_number() OVER (PARTITION BY c.project ORDER BY c.since, c.run_id) AS turn
                FROM candidates c WHERE c.suspect) s
            ORDER BY s.turn, s.since, s.run_id, s.project LIMIT p_suspects
        ),
        ordered AS MATERIALIZED (
            SELECT t.*, row_number() OVER (PARTITION BY t.project ORDER BY t.since, t.run_id) AS turn
            FROM (
                SELECT c.project, c.run_id, c.claim, c.since, c.owner, c.retired, c.fills FROM candidates c WHERE NOT c.suspect
                UNION ALL
                SELECT s.project, s.run_id, s.claim, s.since, s.owner, s.retired, false FROM suspects s) t
        ),
        -- Locked in the order of turns, of projects that were visited before what only fills up, those that others have
        -- locked left out, until there are enough; what changed since it was read is judged again. What somebody has taken and
        -- given back meanwhile is left for the next look: this statement does not see what was added to its history.
        chosen AS MATERIALIZED (
            SELECT c.project, c.run_id, c.since, c.owner, c.retired, c.turn, c.fills
            FROM ordered c
            JOIN meshhook.live_runs l ON l.project = c.project AND l.run_id = c.run_id
            WHERE ((c.owner IS NULL AND l.owner IS NULL AND l.wake_at <= v_now) OR l.owner = c.owner) AND l.claim = c.claim
            ORDER BY c.fills, c.turn, c.since, c.run_id, c.project
            LIMIT p_limit
            FOR UPDATE OF l SKIP LOCKED
        ),
        -- How long a chunk is stands where it lies; its text is not read for that.
        measured AS MATERIALIZED (
            SELECT c.*, (
                SELECT coalesce(sum(octet_length(h.chunk)), 0) FROM meshhook.history h
                WHERE h.project = c.project AND h.run_id = c.run_id) AS bytes
            FROM chosen c
        ),
        queued AS MATERIALIZED (
            SELECT m.*, row_number() OVER (ORDER BY m.fills, m.turn, m.since, m.run_id, m.project) AS place,
                sum(m.bytes) OVER (ORDER BY m.fills, m.turn, m.since, m.run_id, m.project) - m.bytes AS bytes_before
            FROM measured m
        ),
        placed AS MATERIALIZED (
            SELECT c.place, c.project, c.run_id,
                CASE WHEN c.owner IS NOT NULL AND NOT c.retired THEN (
                    SELECT h.last_seq FROM meshhook.history h
                    WHERE h.project = c.project AND h.run_id = c.run_id ORDER BY h.first_seq DESC LIMIT 1)
                END AS orphaned_at
            FROM queued c
            WHERE c.place = 1 OR c.bytes_before < p_bytes
        ),
        taken AS (
            UPDATE meshhook.live_runs l
            SET owner = p_worker, last_holder = p_worker, wake_at = NULL,
                claim = l.claim + 1,
                epoch = CASE WHEN l.last_holder = p_worker THEN l.epoch ELSE l.epoch + 1 END,
                strikes = CASE WHEN p.orphaned_at IS NULL THEN l.strikes
                    WHEN p.orphaned_at > l.strike_seq + 1 THEN 1 ELSE least(l.strikes + 1, 4294967295) END,
                strike_seq = coalesce(p.orphaned_at, l.strike_seq)
            FROM placed p
            WHERE l.project = p.project AND l.run_id = p.run_id
            RETURNING p.place, l.project, l.run_id, l.workflow, l.version, l.digest, l.created_at, l.test, l.status,
                l.finished_at, l.failure, l.epoch, l.claim, l.strikes
        ),
        moved AS (
            UPDATE meshhook.inbox x SET owner = p_worker
            FROM placed p
            WHERE x.project = p.project AND x.run_id = p.run_id AND x.owner IS DISTINCT FROM p_worker
        )
        SELECT t.place, NULL::bigint, NULL::bigint, NULL::text[], NULL::uuid[],
            t.project, t.run_id, t.workflow, t.version, t.digest, t.created_at, t.test,
            t.status, t.finished_at, t.failure, t.epoch, t.claim, t.strikes, h.first_seqs, h.last_seqs, h.hashes, h.chunks
        FROM taken t
        CROSS JOIN LATERAL (
            SELECT array_agg(c.first_seq) AS first_seqs, array_agg(c.last_seq) AS last_seqs,
                array_agg(c.hash) AS hashes, array_agg(c.chunk) AS chunks
            FROM (
                SELECT h.first_seq, h.last_seq, h.hash, h.chunk FROM meshhook.history h
                WHERE h.project = t.project AND h.run_id = t.run_id ORDER BY h.first_seq) c) h;
    END IF;

    -- What was due and was not taken is what wakes up next.
    IF v_is_due THEN
        SELECT l.wake_at INTO v_next FROM meshhook.live_runs l WHERE l.wake_at IS NOT NULL ORDER BY l.wake_at LIMIT 1;
    END IF;

    -- Leases that ended and cover nothing.
    FOR v_dead IN
        SELECT w.worker FROM meshhook.workers w WHERE w.lease_until <= v_now ORDER BY w.worker
        FOR UPDATE SKIP LOCKED
    LOOP
        IF v_dead.worker = p_worker OR pg_try_advisory_xact_lock(1835365224, hashtext(v_dead.worker)) THEN
            DELETE FROM meshhook.workers w
            WHERE w.worker = v_dead.worker
                AND NOT EXISTS (SELECT 1 FROM meshhook.live_runs l WHERE l.owner = w.worker);
        END IF;
    END LOOP;

    place := 0;
    looked_at := v_now;
    next_wake_up := v_next;
    message_projects := v_message_projects;
    message_runs := v_message_runs;
    RETURN NEXT;
    PERFORM meshhook.leave(v_scope);
END
$$;

-- Makes the worker's lease last for p_lease from now; retired, it ends now and nothing is counted against it. Answers
-- the time.
CREATE FUNCTION meshhook.lease_v1(p_now bigint, p_worker text, p_lease bigint, p_retired boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
BEGIN
    INSERT INTO meshhook.workers AS w (worker, lease_until, retired)
    VALUES (p_worker, least(v_now + p_lease, 253402207200000000), p_retired)
    ON CONFLICT (worker) DO UPDATE SET lease_until = excluded.lease_until, retired = excluded.retired;
    PERFORM meshhook.leave(v_scope);
    RETURN v_now;
END
$$;

-- The runs that the worker holds. Who asks has lost a reply: a claim or commit of the worker that is still under way is
-- waited for, so that what it takes is among the answer.
CREATE FUNCTION meshhook.held_v1(p_worker text) RETURNS TABLE (project text, run_id uuid, claim bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    v_scope text := meshhook.enter();
BEGIN
    PERFORM pg_advisory_xact_lock(1835365224, hashtext(p_worker));
    RETURN QUERY SELECT l.project, l.run_id, l.claim FROM meshhook.live_runs l
        WHERE l.owner >= p_worker AND l.owner <= p_worker ORDER BY l.owner, l.project, l.run_id;
    PERFORM meshhook.leave(v_scope);
END
$$;

-- Releases runs that the worker holds through the claims, due now or at a time; without one they wait for a message. No
-- commit of the worker is under way meanwhile.
CREATE FUNCTION meshhook.forget_v1(p_now bigint, p_worker text, p_project text[], p_run uuid[],
    p_claim bigint[], p_is_due boolean, p_wake_at bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
BEGIN
    PERFORM pg_advisory_xact_lock(1835365224, hashtext(p_worker));
    UPDATE meshhook.live_runs l SET owner = NULL,
        wake_at = CASE WHEN p_is_due THEN meshhook.now_or(p_now) ELSE p_wake_at END
    FROM unnest(p_project, p_run, p_claim) AS f (project, run, claim)
    WHERE l.project = f.project AND l.run_id = f.run AND l.owner = p_worker AND l.claim = f.claim;
    PERFORM meshhook.leave(v_scope);
END
$$;

-- Only roles that they were granted to may call them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
