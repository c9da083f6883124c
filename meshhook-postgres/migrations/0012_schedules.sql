-- 0012: schedules.
--
-- The schedules of a workflow's published version; they stay when it is unpublished, without being due. The runs of a slot
-- are started in the transaction that moves the schedule past it, and only if its turn is still the one that was taken: so
-- a slot starts one run at most. Workflows that are published already have no schedules until their next publication: no
-- statement can read definitions.

CREATE TABLE meshhook.schedules (
    done_until bigint           NOT NULL,
    turn       bigint           NOT NULL,
    wake_at    bigint,
    last_at    bigint,
    seen_since bigint           NOT NULL,
    seen_until bigint           NOT NULL,
    paused     boolean          NOT NULL,
    project    text COLLATE "C" NOT NULL,
    slug       text COLLATE "C" NOT NULL,
    trigger    text COLLATE "C" NOT NULL,
    cron       text COLLATE "C" NOT NULL,
    timezone   text COLLATE "C" NOT NULL,
    CONSTRAINT schedules_pk PRIMARY KEY (project, slug, trigger)
);

CREATE INDEX schedules_due ON meshhook.schedules (wake_at, project, slug, trigger) WHERE wake_at IS NOT NULL;

ALTER TABLE meshhook.schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.schedules FORCE ROW LEVEL SECURITY;
CREATE POLICY schedules_of_project ON meshhook.schedules
    USING ((SELECT meshhook.scope()) IN ('*', project)) WITH CHECK ((SELECT meshhook.scope()) IN ('*', project));

-- When a schedule is to be looked at next: one step in schedules_due.
CREATE FUNCTION meshhook.next_schedule_v1() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_next bigint;
BEGIN
    SELECT s.wake_at INTO v_next FROM meshhook.schedules s WHERE s.wake_at IS NOT NULL ORDER BY s.wake_at LIMIT 1;
    PERFORM meshhook.leave(v_scope);
    RETURN v_next;
END
$$;

-- Takes schedules that are due, along schedules_due: those that others have locked are left to them. The row without a
-- project tells the time. Answers what was seen before, and notes what is seen now, by somebody who has been looking since
-- p_since.
CREATE FUNCTION meshhook.take_schedules_v1(p_now bigint, p_limit bigint, p_hold bigint, p_since bigint)
RETURNS TABLE (
    now bigint, project text, slug text, trigger text, turn bigint, done_until bigint, seen_since bigint, seen_until bigint,
    version bigint, digest bytea
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
BEGIN
    RETURN QUERY SELECT v_now, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea;
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT s.project, s.slug, s.trigger, s.wake_at, s.seen_since, s.seen_until FROM meshhook.schedules s
        WHERE s.wake_at <= v_now
        ORDER BY s.wake_at, s.project, s.slug, s.trigger LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    taken AS (
        UPDATE meshhook.schedules s SET wake_at = least(v_now + p_hold, 253402207200000000),
            seen_since = CASE WHEN s.seen_until >= p_since THEN least(s.seen_since, p_since) ELSE p_since END,
            seen_until = greatest(s.seen_until, v_now)
        FROM due d
        WHERE s.project = d.project AND s.slug = d.slug AND s.trigger = d.trigger
        RETURNING d.wake_at AS since, s.project, s.slug, s.trigger, s.turn, s.done_until, d.seen_since, d.seen_until
    )
    SELECT v_now, t.project, t.slug, t.trigger, t.turn, t.done_until, t.seen_since, t.seen_until,
        v.version, v.digest
    FROM taken t
    JOIN meshhook.workflows w ON w.project = t.project AND w.slug = t.slug
    JOIN meshhook.versions v ON v.project = t.project AND v.slug = t.slug AND v.version = w.published_version
    ORDER BY t.since, t.project, t.slug, t.trigger;
    PERFORM meshhook.leave(v_scope);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;

COMMENT ON TABLE meshhook.schedules IS 'Schedules of published workflows: up to when their slots are dealt with, and when to look at the next.';
COMMENT ON COLUMN meshhook.schedules.done_until IS 'Up to when all slots are dealt with: they have started their runs, or are left out.';
COMMENT ON COLUMN meshhook.schedules.turn IS 'Grows with each change, and begins with the time, so that a schedule made anew has another one; firing names the turn that was taken.';
COMMENT ON COLUMN meshhook.schedules.wake_at IS 'When somebody has to look at it: its next slot, or the end of the time for which a worker has taken it; null while it is paused or not published.';
COMMENT ON COLUMN meshhook.schedules.last_at IS 'The last slot that started a run.';
COMMENT ON COLUMN meshhook.schedules.seen_since IS 'Since when somebody had been looking who took it last.';
COMMENT ON COLUMN meshhook.schedules.seen_until IS 'When it was taken last: what came since seen_since was seen, and starts its runs also when that worker dies.';
COMMENT ON COLUMN meshhook.schedules.paused IS 'Whether it is paused; publishing anew leaves it so.';
COMMENT ON COLUMN meshhook.schedules.project IS 'The project.';
COMMENT ON COLUMN meshhook.schedules.slug IS 'The workflow''s slug.';
COMMENT ON COLUMN meshhook.schedules.trigger IS 'The trigger''s id within the published definition.';
COMMENT ON COLUMN meshhook.schedules.cron IS 'The cron expression.';
COMMENT ON COLUMN meshhook.schedules.timezone IS 'The name of its time zone.';
COMMENT ON INDEX meshhook.schedules_pk IS 'One row per trigger; lists.';
COMMENT ON INDEX meshhook.schedules_due IS 'What is due, and when the next will be.';
COMMENT ON FUNCTION meshhook.next_schedule_v1 IS 'When a schedule is to be looked at next.';
COMMENT ON FUNCTION meshhook.take_schedules_v1 IS 'Takes schedules that are due, so that no other worker has them for a while.';
