-- 0007: messages for runs.

-- Leaves messages, in order. outcome: 0 held (by owner), 1 due, 2 not found, 3 ended, 4 full: p_room
-- messages wait for the run, or more.
CREATE FUNCTION meshhook.post_v1(
    p_now bigint, p_project text[], p_run uuid[], p_is_retry boolean[], p_message text[], p_room bigint[],
    OUT outcome smallint[], OUT owner text[]
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
    v_count integer := coalesce(cardinality(p_run), 0);
    v_owner text;
    v_status text;
    v_is_live boolean;
    v_is_full boolean;
    v_outcome smallint;
BEGIN
    outcome := array_fill(2::smallint, ARRAY[v_count]);
    owner := array_fill(NULL::text, ARRAY[v_count]);
    -- Rows are locked in the order of their keys, as commits do. From here on nobody releases or ends these runs.
    PERFORM 1 FROM unnest(p_project, p_run) AS p (project, run)
    JOIN meshhook.live_runs l ON l.project = p.project AND l.run_id = p.run
    ORDER BY l.project, l.run_id FOR NO KEY UPDATE OF l;
    FOR v_item IN 1..v_count LOOP
        v_outcome := NULL;
        -- A run that moves between the two tables while it is looked for is looked for again.
        FOR v_try IN 1..4 LOOP
            SELECT l.owner INTO v_owner FROM meshhook.live_runs l
            WHERE l.project = p_project[v_item] AND l.run_id = p_run[v_item] FOR NO KEY UPDATE;
            v_is_live := FOUND;
            v_is_full := p_room[v_item] IS NOT NULL AND p_room[v_item] <= (
                SELECT count(*) FROM (
                    SELECT 1 FROM meshhook.inbox x
                    WHERE x.project = p_project[v_item] AND x.run_id = p_run[v_item] LIMIT p_room[v_item]) w);
            IF v_is_live AND v_is_full THEN
                v_outcome := 4;
            ELSIF v_is_live AND v_owner IS NOT NULL THEN
                v_outcome := 0;
                owner[v_item] := v_owner;
            ELSIF v_is_live THEN
                UPDATE meshhook.live_runs l SET wake_at = least(coalesce(l.wake_at, v_now), v_now)
                WHERE l.project = p_project[v_item] AND l.run_id = p_run[v_item];
                v_outcome := 1;
            ELSE
                SELECT e.status INTO v_status FROM meshhook.ended_runs e
                WHERE e.project = p_project[v_item] AND e.run_id = p_run[v_item];
                IF FOUND AND NOT (p_is_retry[v_item] AND v_status = 'failed') THEN
                    v_outcome := 3;
                ELSIF FOUND AND v_is_full THEN
                    v_outcome := 4;
                ELSIF FOUND AND meshhook.revive(p_project[v_item], p_run[v_item], v_now) THEN
                    v_outcome := 1;
                END IF;
            END IF;
            EXIT WHEN v_outcome IS NOT NULL;
        END LOOP;
        outcome[v_item] := coalesce(v_outcome, 2);
        IF v_outcome <= 1 THEN
            INSERT INTO meshhook.inbox (project, run_id, is_retry, owner, message)
            VALUES (p_project[v_item], p_run[v_item], p_is_retry[v_item], owner[v_item], p_message[v_item]);
        END IF;
    END LOOP;
    PERFORM meshhook.leave(v_scope);
END
$$;

-- Only roles that they were granted to may call them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
