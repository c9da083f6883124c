-- 0010: deliveries: what was sent to hooks, and what became of it.
--
-- Nothing that runs depends on them. Rows come nearly in the order of their ids and of their expiry, in batches, after
-- their senders were answered, and go when their time is over; nothing changes a row in between.

CREATE TABLE meshhook.deliveries (
    at         bigint           NOT NULL,
    expires_at bigint           NOT NULL,
    id         uuid             NOT NULL,
    project    text COLLATE "C" NOT NULL,
    workflow   text COLLATE "C",
    verdict    text COLLATE "C" NOT NULL,
    facts      bytea            NOT NULL,
    sealed     bytea,
    CONSTRAINT deliveries_pk PRIMARY KEY (project, id)
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE meshhook.deliveries IS 'Webhook requests, accepted or not, for some days.';
COMMENT ON COLUMN meshhook.deliveries.at IS 'When it came.';
COMMENT ON COLUMN meshhook.deliveries.expires_at IS 'From when on it is not shown, and to be removed.';
COMMENT ON COLUMN meshhook.deliveries.id IS 'UUIDv7: begins with the millisecond in which it came.';
COMMENT ON COLUMN meshhook.deliveries.project IS 'The project.';
COMMENT ON COLUMN meshhook.deliveries.workflow IS 'The workflow whose hook it was sent to; null where no hook listens.';
COMMENT ON COLUMN meshhook.deliveries.verdict IS 'What became of it, in one word.';
COMMENT ON COLUMN meshhook.deliveries.facts IS 'What else is known of it: JSON as UTF-8, with secrets masked.';
COMMENT ON COLUMN meshhook.deliveries.sealed IS 'The request as it came, sealed under the master key; null where it is not kept.';
COMMENT ON INDEX meshhook.deliveries_pk IS 'Finding a delivery; lists, newest first.';

-- As for runs: the list by workflow does not begin with the project, so that no plan that looks up one row can prefer it
-- while the table is tiny; and most deliveries are accepted, so that the index for other verdicts stays small.
CREATE INDEX deliveries_by_workflow ON meshhook.deliveries (workflow, project, id) WHERE workflow IS NOT NULL;
COMMENT ON INDEX meshhook.deliveries_by_workflow IS 'Lists by workflow.';
CREATE INDEX deliveries_by_verdict ON meshhook.deliveries (verdict, project, id) WHERE verdict <> 'accepted';
COMMENT ON INDEX meshhook.deliveries_by_verdict IS 'Lists by a verdict other than accepted.';
CREATE INDEX deliveries_by_expiry ON meshhook.deliveries (expires_at);
COMMENT ON INDEX meshhook.deliveries_by_expiry IS 'Forgetting deliveries whose time is over, the oldest first.';

ALTER TABLE meshhook.deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY deliveries_of_project ON meshhook.deliveries
    USING ((SELECT meshhook.scope()) IN ('*', project)) WITH CHECK ((SELECT meshhook.scope()) IN ('*', project));

-- Keeps deliveries; one that is there already is left as it is.
CREATE FUNCTION meshhook.record_deliveries_v1(
    p_projects text[], p_ids uuid[], p_at bigint[], p_expires_at bigint[], p_workflows text[], p_verdicts text[],
    p_facts bytea[], p_sealed bytea[]
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_kept bigint;
BEGIN
    INSERT INTO meshhook.deliveries (project, id, at, expires_at, workflow, verdict, facts, sealed)
    SELECT r.project, r.id, r.at, r.expires_at, r.workflow, r.verdict, r.facts, r.sealed
    FROM unnest(p_projects, p_ids, p_at, p_expires_at, p_workflows, p_verdicts, p_facts, p_sealed)
        AS r (project, id, at, expires_at, workflow, verdict, facts, sealed)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_kept = ROW_COUNT;
    PERFORM meshhook.leave(v_scope);
    RETURN v_kept;
END
$$;

COMMENT ON FUNCTION meshhook.record_deliveries_v1 IS 'Keeps deliveries of any projects.';

-- One session at a time; the others leave it to that one. No row is ever changed, so the application need not have the right
-- to, which locking rows would take.
CREATE FUNCTION meshhook.drop_deliveries_v1(p_now bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
    v_scope text := meshhook.enter();
    v_now bigint := meshhook.now_or(p_now);
    v_dropped bigint := 0;
BEGIN
    IF pg_try_advisory_xact_lock(1835365224, 3) THEN
        DELETE FROM meshhook.deliveries d WHERE d.ctid = ANY (ARRAY(
            SELECT o.ctid FROM meshhook.deliveries o WHERE o.expires_at <= v_now ORDER BY o.expires_at LIMIT p_limit));
        GET DIAGNOSTICS v_dropped = ROW_COUNT;
    END IF;
    PERFORM meshhook.leave(v_scope);
    RETURN v_dropped;
END
$$;

COMMENT ON FUNCTION meshhook.drop_deliveries_v1 IS 'Forgets deliveries whose time is over, the oldest first.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
