-- 0003: the second wall between projects.
--
-- Every statement names its project; should one forget to, the policies below let it see nothing. A session says for
-- which project it speaks with the setting meshhook.project: unset or empty is none, '*' is the engine's own work across
-- projects (commits, claims, leases), which only the functions of this schema set, each for itself.
-- FORCE: the tables' owner is held to it as well; only superusers and roles with BYPASSRLS are not.

CREATE FUNCTION meshhook.scope() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.current_setting('meshhook.project', true);

-- The engine's functions enter its scope and leave it again, so that a transaction that goes on after them sees what it saw
-- before. (A SET clause would do, but only a superuser may write one for a setting of our own.)
--
-- They count on READ COMMITTED: a statement that has waited for a lock must see what was committed meanwhile. A database
-- or a host that makes another level its default would take that away without a word, so that any other is refused.
CREATE FUNCTION meshhook.enter() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_scope text := pg_catalog.current_setting('meshhook.project', true);
    v_entered text;
BEGIN
    IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'meshhook: the transaction is %, not READ COMMITTED', pg_catalog.upper(
            pg_catalog.current_setting('transaction_isolation'))
        USING ERRCODE = 'invalid_transaction_state', HINT = 'Begin it with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    v_entered := pg_catalog.set_config('meshhook.project', '*', true);
    RETURN v_scope;
END
$$;

CREATE FUNCTION meshhook.leave(p_scope text) RETURNS text
LANGUAGE sql VOLATILE
RETURN pg_catalog.set_config('meshhook.project', coalesce(p_scope, ''), true);

-- Microseconds: the given time, or the database's.
CREATE FUNCTION meshhook.now_or(p_now bigint) RETURNS bigint
LANGUAGE sql VOLATILE
RETURN coalesce(p_now, pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint);

-- The sub-select makes it one look at the setting per statement instead of one per row.
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'projects', 'live_runs', 'ended_runs', 'history', 'dedupe', 'inbox', 'workflows', 'versions', 'definitions', 'hooks', 'secrets'
    ] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE meshhook.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE pg_catalog.format('ALTER TABLE meshhook.%I FORCE ROW LEVEL SECURITY', v_table);
        EXECUTE pg_catalog.format(
            'CREATE POLICY %I ON meshhook.%I USING ((SELECT meshhook.scope()) IN (''*'', project)) WITH CHECK ((SELECT meshhook.scope()) IN (''*'', project))',
            v_table || '_of_project', v_table
        );
    END LOOP;
END
$$;

ALTER TABLE meshhook.workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE meshhook.workers FORCE ROW LEVEL SECURITY;
CREATE POLICY workers_of_the_engine ON meshhook.workers
    USING ((SELECT meshhook.scope()) = '*') WITH CHECK ((SELECT meshhook.scope()) = '*');

-- Only roles that they were granted to may call them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC;
