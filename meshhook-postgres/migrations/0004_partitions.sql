-- 0004: weeks of ended_runs and history, made ahead.
--
-- A run's id begins with the millisecond in which it was made, so a week is a range of ids. What falls into no week (ids
-- from elsewhere, clocks far off, nobody looked for weeks) goes to the default partition, so that no commit is refused.

CREATE TABLE meshhook.ended_runs_other PARTITION OF meshhook.ended_runs DEFAULT;
CREATE TABLE meshhook.history_other PARTITION OF meshhook.history DEFAULT;
ALTER TABLE meshhook.ended_runs_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.ended_runs_other FORCE ROW LEVEL SECURITY;
ALTER TABLE meshhook.history_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.history_other FORCE ROW LEVEL SECURITY;

-- The least id of a time.
CREATE FUNCTION meshhook.first_id(p_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.floor(extract(epoch FROM p_at) * 1000)::bigint), 12, '0')
    || '00000000000000000000')::uuid;

-- Makes the partitions of this week and the next ones; answers how many were made. One session at a time; a table that
-- is busy is left for the next time. The tables' owner makes them, whoever asks.
CREATE FUNCTION meshhook.make_partitions(p_weeks integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    v_from timestamptz;
    v_table text;
    v_name text;
    v_made integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1835365224, 2) THEN
        RETURN 0;
    END IF;
    FOR v_week IN 0..least(greatest(p_weeks, 0), 60) LOOP
        v_from := (date_trunc('week', now() AT TIME ZONE 'UTC') + v_week * interval '7 days') AT TIME ZONE 'UTC';
        FOREACH v_table IN ARRAY ARRAY['ended_runs', 'history'] LOOP
            v_name := v_table || '_' || to_char(v_from AT TIME ZONE 'UTC', 'IYYY"w"IW');
            CONTINUE WHEN to_regclass('meshhook.' || quote_ident(v_name)) IS NOT NULL;
            BEGIN
                -- Attaching a finished table locks the parent only against other changes of its shape.
                EXECUTE format('CREATE TABLE meshhook.%I (LIKE meshhook.%I INCLUDING ALL)', v_name, v_table);
                EXECUTE format('ALTER TABLE meshhook.%I ENABLE ROW LEVEL SECURITY', v_name);
                EXECUTE format('ALTER TABLE meshhook.%I FORCE ROW LEVEL SECURITY', v_name);
                EXECUTE format('ALTER TABLE meshhook.%I SET (autovacuum_freeze_min_age = 0)', v_name);
                EXECUTE format(
                    'ALTER TABLE meshhook.%I ATTACH PARTITION meshhook.%I FOR VALUES FROM (%L) TO (%L)',
                    v_table, v_name, meshhook.first_id(v_from), meshhook.first_id(v_from + interval '7 days')
                );
                v_made := v_made + 1;
            EXCEPTION
                -- Its ids lie in the default partition already, or the table was busy.
                WHEN check_violation OR lock_not_available OR deadlock_detected THEN
                    RAISE WARNING 'meshhook: could not make partition %: %', v_name, SQLERRM;
            END;
        END LOOP;
    END LOOP;
    RETURN v_made;
END
$$;

-- Whether a run that was made in a week has not ended.
CREATE FUNCTION meshhook.week_is_live(p_starts timestamptz) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM meshhook.live_runs l
        WHERE l.run_id >= meshhook.first_id(p_starts) AND l.run_id < meshhook.first_id(p_starts + interval '7 days'));
END
$$;

-- Drops the weeks that ended before a time, with all runs and histories in them; answers how many partitions went. A week
-- in which a run was made that has not ended stays, whole.
--
-- A failed run that is retried goes back among the live ones. Who does that holds a lock on ended_runs until it is
-- visible, so what was read before both tables were locked is read again behind the locks. They are taken in the order
-- in which commits take theirs, and only when a week seems to go; dropping a partition would lock its table alike.
CREATE FUNCTION meshhook.drop_partitions(p_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_week record;
    v_name text;
    v_is_locked boolean := false;
    v_dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(1835365224, 2);
    FOR v_week IN
        SELECT w.starts, array_agg(w.name ORDER BY w.name) AS names
        FROM (
            SELECT c.relname AS name,
                to_timestamp(right(c.relname, 7), 'IYYY"w"IW') AT TIME ZONE current_setting('TimeZone') AT TIME ZONE 'UTC' AS starts
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent IN ('meshhook.ended_runs'::regclass, 'meshhook.history'::regclass)
                AND c.relname ~ '_[0-9]{4}w[0-9]{2}$') w
        WHERE w.starts + interval '7 days' <= p_before
        GROUP BY w.starts
        ORDER BY w.starts
    LOOP
        CONTINUE WHEN meshhook.week_is_live(v_week.starts);
        IF NOT v_is_locked THEN
            LOCK TABLE ONLY meshhook.history, ONLY meshhook.ended_runs IN ACCESS EXCLUSIVE MODE;
            v_is_locked := true;
            CONTINUE WHEN meshhook.week_is_live(v_week.starts);
        END IF;
        FOREACH v_name IN ARRAY v_week.names LOOP
            EXECUTE format('DROP TABLE meshhook.%I', v_name);
            v_dropped := v_dropped + 1;
        END LOOP;
    END LOOP;
    PERFORM meshhook.leave(v_scope);
    RETURN v_dropped;
END
$$;

-- Forgets deduplication keys whose window is over, the oldest first, at most p_limit; answers how many.
CREATE FUNCTION meshhook.drop_keys_v1(p_now bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_dropped bigint;
BEGIN
    -- Only one session at a time: two would meet at the same rows.
    IF pg_try_advisory_xact_lock(1835365224, 3) THEN
        DELETE FROM meshhook.dedupe d WHERE d.ctid = ANY (ARRAY(
            SELECT o.ctid FROM meshhook.dedupe o WHERE o.expires_at <= v_now LIMIT p_limit))
            AND d.expires_at <= v_now;
        GET DIAGNOSTICS v_dropped = ROW_COUNT;
    END IF;
    PERFORM meshhook.leave(v_scope);
    RETURN coalesce(v_dropped, 0);
END
$$;

SELECT meshhook.make_partitions(4);
