-- 0004: months of ended_runs and history, made ahead; and what is forgotten when its time is over.
--
-- A run's id begins with the millisecond in which it was made, so a calendar month (UTC) is a range of ids. Months, not
-- weeks: a kept plan locks every partition that there is before it looks which one it needs (up to Postgres 17), so each
-- costs every statement. What falls into no month (ids from elsewhere, clocks far off, nobody looked for months) goes to
-- the default partition, so that no commit is refused.
--
-- A partition is told by its bounds, never by its name, and a month's bounds are computed without a time zone: whoever
-- calls these functions, with whatever settings, means the same tables.

CREATE TABLE meshhook.ended_runs_other PARTITION OF meshhook.ended_runs DEFAULT;
CREATE TABLE meshhook.history_other PARTITION OF meshhook.history DEFAULT;
ALTER TABLE meshhook.ended_runs_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.ended_runs_other FORCE ROW LEVEL SECURITY;
ALTER TABLE meshhook.history_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.history_other FORCE ROW LEVEL SECURITY;

-- The least id of a time; of one that no id can begin with, the nearest that it can.
CREATE FUNCTION meshhook.first_id(p_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (pg_catalog.lpad(pg_catalog.to_hex(
        least(greatest(pg_catalog.floor(extract(epoch FROM p_at) * 1000), 0), 281474976710655)::bigint), 12, '0')
    || '00000000000000000000')::uuid;

-- The partitions of both tables but the default ones, with their bounds: from low to below high.
CREATE FUNCTION meshhook.partitions() RETURNS TABLE (parent text, name text, low uuid, high uuid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.relname, c.relname, b.bounds[1]::uuid, b.bounds[2]::uuid
    FROM pg_inherits i
    JOIN pg_class p ON p.oid = i.inhparent
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') AS b (bounds)
    WHERE i.inhparent IN ('meshhook.ended_runs'::regclass, 'meshhook.history'::regclass) AND b.bounds IS NOT NULL
$$;

-- Makes one partition that is missing for this month or the next ones; answers whether one was made. To be called until
-- it was not: each call is a transaction that locks one table, so that it never holds what a commit waits for while it
-- waits for what that commit holds.
--
-- Attaching a table locks the parent only against other changes of its shape, but the default partition, through which
-- every reader goes, against everybody. So it waits a moment at most, and fails; the caller tries again later. The
-- tables' owner makes them, whoever asks.
CREATE FUNCTION meshhook.make_partition(p_months integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '300ms'
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_made boolean := false;
    v_is_astray boolean;
    v_month record;
BEGIN
    -- Whoever finds nothing to do locks nothing.
    FOR v_month IN
        SELECT t.parent, t.parent || '_' || to_char(m.starts, 'YYYY"m"MM') AS name, m.low, m.high
        FROM (
            SELECT s.starts, meshhook.first_id(s.starts AT TIME ZONE 'UTC') AS low,
                meshhook.first_id((s.starts + interval '1 month') AT TIME ZONE 'UTC') AS high
            FROM (
                SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i) AS starts
                FROM generate_series(0, least(greatest(p_months, 0), 60)) AS i) s) m
        CROSS JOIN unnest(ARRAY['history', 'ended_runs']) AS t (parent)
        WHERE NOT EXISTS (
            SELECT 1 FROM meshhook.partitions() p WHERE p.parent = t.parent AND p.low < m.high AND p.high > m.low)
        ORDER BY m.starts, t.parent DESC
    LOOP
        EXIT WHEN NOT pg_try_advisory_xact_lock(1835365224, 2);
        -- Attaching would find it as well, but behind its lock.
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM meshhook.%I WHERE run_id >= $1 AND run_id < $2)', v_month.parent)
            INTO v_is_astray USING v_month.low, v_month.high;
        IF v_is_astray THEN
            RAISE WARNING 'meshhook: runs of % lie in the default partition: it is not made', v_month.name;
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('CREATE TABLE meshhook.%I (LIKE meshhook.%I INCLUDING ALL)', v_month.name, v_month.parent);
            EXECUTE format('ALTER TABLE meshhook.%I ENABLE ROW LEVEL SECURITY', v_month.name);
            EXECUTE format('ALTER TABLE meshhook.%I FORCE ROW LEVEL SECURITY', v_month.name);
            EXECUTE format('ALTER TABLE meshhook.%I SET (autovacuum_freeze_min_age = 0)', v_month.name);
            EXECUTE format(
                'ALTER TABLE meshhook.%I ATTACH PARTITION meshhook.%I FOR VALUES FROM (%L) TO (%L)',
                v_month.parent, v_month.name, v_month.low, v_month.high
            );
            v_made := true;
        EXCEPTION
            -- Somebody made it at the same time, or its first row came.
            WHEN invalid_object_definition OR duplicate_table OR check_violation THEN
                RAISE WARNING 'meshhook: could not make partition %: %', v_month.name, SQLERRM;
        END;
        EXIT WHEN v_made;
    END LOOP;
    PERFORM meshhook.leave(v_scope);
    RETURN v_made;
END
$$;

-- Drops the oldest month that ended before a time, with all runs, histories and messages in it; answers how many
-- partitions went. A month in which a run was made that has not ended stays, whole. To be called until none goes.
--
-- Looking for live runs takes as long as there are many, so it is done before anything is locked, and a month that stays
-- is not locked at all. It is done again once the month's own tables are locked against writing, which keeps the answer
-- true: a failed run that is retried goes back among the live ones, and that deletes from the month, so it is visible here
-- or waits. If one came back in between, these locks are given up with the block in which they were taken. Only to drop
-- them both parents are locked, in the order in which commits lock them, for a moment at most; else it fails, and the
-- caller tries again.
CREATE FUNCTION meshhook.drop_partitions(p_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '300ms'
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_month record;
    v_name text;
    v_dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(1835365224, 2);
    FOR v_month IN
        SELECT p.low, p.high, array_agg(p.name ORDER BY p.parent DESC) AS names FROM meshhook.partitions() p
        WHERE p.high <= meshhook.first_id(p_before)
        GROUP BY p.low, p.high
        ORDER BY p.low
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM meshhook.live_runs l WHERE l.run_id >= v_month.low AND l.run_id < v_month.high);
        BEGIN
            FOREACH v_name IN ARRAY v_month.names LOOP
                EXECUTE format('LOCK TABLE ONLY meshhook.%I IN SHARE MODE', v_name);
            END LOOP;
            IF EXISTS (
                SELECT 1 FROM meshhook.live_runs l WHERE l.run_id >= v_month.low AND l.run_id < v_month.high
            ) THEN
                RAISE object_in_use;
            END IF;
        EXCEPTION
            WHEN object_in_use THEN
                CONTINUE;
        END;
        -- What waits with a failed run waits for nobody any more, and nothing more comes: whoever leaves a message for such a
        -- run deletes it from the month first. It is looked for through all messages, so before everybody has to wait.
        DELETE FROM meshhook.inbox x WHERE x.run_id >= v_month.low AND x.run_id < v_month.high;
        LOCK TABLE ONLY meshhook.history, ONLY meshhook.ended_runs IN ACCESS EXCLUSIVE MODE;
        FOREACH v_name IN ARRAY v_month.names LOOP
            EXECUTE format('DROP TABLE meshhook.%I', v_name);
            v_dropped := v_dropped + 1;
        END LOOP;
        EXIT;
    END LOOP;
    PERFORM meshhook.leave(v_scope);
    RETURN v_dropped;
END
$$;

-- Forgets deduplication keys whose window is over, the oldest first, at most p_limit; answers how many. Keys that
-- somebody takes again at this moment, or forgets in another session, are left out: nobody waits.
CREATE FUNCTION meshhook.drop_keys_v1(p_now bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_dropped bigint;
BEGIN
    DELETE FROM meshhook.dedupe d WHERE d.ctid = ANY (ARRAY(
        SELECT o.ctid FROM meshhook.dedupe o WHERE o.expires_at <= v_now
        ORDER BY o.expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    PERFORM meshhook.leave(v_scope);
    RETURN v_dropped;
END
$$;

DO $$
BEGIN
    WHILE meshhook.make_partition(2) LOOP
    END LOOP;
END
$$;

-- Only roles that they were granted to may call them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
