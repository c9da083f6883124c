-- 0011: token buckets: how much more is let in, whatever process asks.
--
-- A bucket without a row is full. A row is kept a while longer than until its bucket is full, in steps of ten minutes, so that
-- most changes leave the index alone.

CREATE TABLE meshhook.rates (
    full_at    bigint           NOT NULL,
    expires_at bigint           NOT NULL,
    project    text COLLATE "C" NOT NULL,
    key        bytea            NOT NULL,
    CONSTRAINT rates_pk PRIMARY KEY (project, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE meshhook.rates IS 'Token buckets of rate limits that are not full.';
COMMENT ON COLUMN meshhook.rates.full_at IS 'When the bucket will be full.';
COMMENT ON COLUMN meshhook.rates.expires_at IS 'From when on the row says nothing, and is to be removed.';
COMMENT ON COLUMN meshhook.rates.project IS 'The project.';
COMMENT ON COLUMN meshhook.rates.key IS 'SHA-256 of the trigger and of what has a bucket of its own.';
COMMENT ON INDEX meshhook.rates_pk IS 'One bucket per key.';

CREATE INDEX rates_by_expiry ON meshhook.rates (expires_at);
COMMENT ON INDEX meshhook.rates_by_expiry IS 'Forgetting buckets that are full, the oldest first.';

ALTER TABLE meshhook.rates ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.rates FORCE ROW LEVEL SECURITY;
CREATE POLICY rates_of_project ON meshhook.rates
    USING ((SELECT meshhook.scope()) IN ('*', project)) WITH CHECK ((SELECT meshhook.scope()) IN ('*', project));

-- Takes from buckets, in the order of the arrays, each of which the caller has put in the order of the keys: whoever takes
-- from several locks them in one order. Answers when each will be full then, how many tokens it gave, and the time.
CREATE FUNCTION meshhook.admit_v1(
    p_now bigint, p_projects text[], p_keys bytea[], p_every bigint[], p_burst bigint[], p_wanted bigint[]
) RETURNS TABLE (a_full_at bigint, a_tokens bigint, a_now bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_kept constant bigint := 600000000;
    v_room bigint;
BEGIN
    a_now := v_now;
    FOR i IN 1 .. coalesce(array_length(p_keys, 1), 0) LOOP
        v_room := p_every[i] * p_burst[i];
        -- A row that is forgotten in between is made again.
        LOOP
            SELECT r.full_at INTO a_full_at FROM meshhook.rates r
            WHERE r.project = p_projects[i] AND r.key = p_keys[i] FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO meshhook.rates (full_at, expires_at, project, key)
            VALUES (v_now, (v_now / v_kept + 1) * v_kept, p_projects[i], p_keys[i])
            ON CONFLICT DO NOTHING;
        END LOOP;
        a_full_at := least(greatest(a_full_at, v_now), v_now + v_room);
        a_tokens := least(p_wanted[i], (v_now + v_room - a_full_at) / p_every[i]);
        IF a_tokens > 0 THEN
            a_full_at := a_full_at + a_tokens * p_every[i];
            UPDATE meshhook.rates r SET full_at = a_full_at, expires_at = (a_full_at / v_kept + 1) * v_kept
            WHERE r.project = p_projects[i] AND r.key = p_keys[i];
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM meshhook.leave(v_scope);
END
$$;

COMMENT ON FUNCTION meshhook.admit_v1 IS 'Takes tokens from buckets of any projects.';

-- As drop_keys_v1: nobody waits.
CREATE FUNCTION meshhook.drop_rates_v1(p_now bigint, p_limit bigint) RETURNS bigint
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
    DELETE FROM meshhook.rates d WHERE d.ctid = ANY (ARRAY(
        SELECT o.ctid FROM meshhook.rates o WHERE o.expires_at <= v_now
        ORDER BY o.expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    PERFORM meshhook.leave(v_scope);
    RETURN v_dropped;
END
$$;

COMMENT ON FUNCTION meshhook.drop_rates_v1 IS 'Forgets buckets that are full, the oldest first.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
