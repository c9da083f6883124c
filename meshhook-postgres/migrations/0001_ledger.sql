-- 0001: runs, their histories, messages for them, and who works on them.
--
-- A run that has not ended has a row in live_runs, one that has ended a row in ended_runs. live_runs is the hot table:
-- small, unpartitioned, a row is written when its run is started, released, claimed or ended, never per step.
-- ended_runs and history only grow; they are partitioned by month, which a run's id tells (UUIDv7), so that retention is
-- the drop of a table. What lies there costs the running work nothing.
--
-- Times are microseconds since the Unix epoch: exact, without infinities, and the same in every store. Texts that are
-- hashed or may hold any character (histories, drafts, keys) are bytea, which keeps them byte for byte.
-- There are no foreign keys: on these tables each costs a row lock per write.

CREATE TABLE meshhook.live_runs (
    created_at  bigint           NOT NULL,
    epoch       bigint           NOT NULL,
    claim       bigint           NOT NULL,
    strikes     bigint           NOT NULL,
    strike_seq  bigint           NOT NULL,
    wake_at     bigint,
    finished_at bigint,
    version     bigint,
    run_id      uuid             NOT NULL,
    test        boolean          NOT NULL,
    project     text COLLATE "C" NOT NULL,
    workflow    text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    owner       text COLLATE "C",
    last_holder text COLLATE "C" NOT NULL,
    digest      bytea            NOT NULL,
    failure     text,
    CONSTRAINT live_runs_pk PRIMARY KEY (project, run_id)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.2
);

COMMENT ON TABLE meshhook.live_runs IS 'Runs that have not ended: held by a worker (owner), or released until wake_at or a message. A failed run that is to be retried is here too.';

-- Claims: what is due, per project. Runs that are held or wait for a message only are not in it.
CREATE INDEX live_runs_due ON meshhook.live_runs (project, wake_at, run_id) WHERE wake_at IS NOT NULL;
-- Looks: the first to wake up of all projects, so that a look that finds nothing due is one step.
CREATE INDEX live_runs_wake ON meshhook.live_runs (wake_at) WHERE wake_at IS NOT NULL;
-- Lists of what failed: runs that are to be retried, until their retry is written. A status changes too often to be in an
-- index here.
CREATE INDEX live_runs_failed ON meshhook.live_runs (project, run_id) WHERE finished_at IS NOT NULL;
-- What a worker holds.
CREATE INDEX live_runs_held ON meshhook.live_runs (owner, project, run_id) WHERE owner IS NOT NULL;
-- What a worker holds that was an orphan before: the only runs that can be suspects.
CREATE INDEX live_runs_struck ON meshhook.live_runs (owner, project, run_id) WHERE owner IS NOT NULL AND strikes > 0;

CREATE TABLE meshhook.ended_runs (
    created_at  bigint           NOT NULL,
    finished_at bigint           NOT NULL,
    epoch       bigint,
    claim       bigint,
    strikes     bigint,
    strike_seq  bigint,
    version     bigint,
    run_id      uuid             NOT NULL,
    test        boolean          NOT NULL,
    project     text COLLATE "C" NOT NULL,
    workflow    text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    last_holder text COLLATE "C",
    digest      bytea            NOT NULL,
    failure     text,
    CONSTRAINT ended_runs_pk PRIMARY KEY (project, run_id)
) PARTITION BY RANGE (run_id);

COMMENT ON TABLE meshhook.ended_runs IS 'Runs that have ended. Only failed ones can be retried: they keep epoch, claim, holder and strikes.';

-- Lists. Most runs end well; the index for the others stays small. The first does not begin with the project: while the
-- table is tiny, a plan that looks a run up by project and id would cost the same by it, stay, and read the whole project.
CREATE INDEX ended_runs_by_workflow ON meshhook.ended_runs (workflow, project, run_id);
CREATE INDEX ended_runs_by_status ON meshhook.ended_runs (project, status, run_id) WHERE status <> 'succeeded';

CREATE TABLE meshhook.history (
    first_seq bigint           NOT NULL,
    last_seq  bigint           NOT NULL,
    run_id    uuid             NOT NULL,
    project   text COLLATE "C" NOT NULL,
    hash      bytea            NOT NULL,
    chunk     bytea            NOT NULL,
    CONSTRAINT history_pk PRIMARY KEY (project, run_id, first_seq)
) PARTITION BY RANGE (run_id);

COMMENT ON TABLE meshhook.history IS 'One row per commit: a JSON array of the events first_seq to last_seq as canonical UTF-8 text, and a hash that chains it to the row before. The view events shows one row per event.';

-- Most that is large in a history is a webhook's body, and the server's default compression costs more of its time than all
-- else that it does for such a commit. LZ4 costs a fraction of that and packs JSON as well, where the server has it. Months
-- take it over from here.
DO $$
BEGIN
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE meshhook.history ALTER COLUMN chunk SET COMPRESSION lz4;
    END IF;
END
$$;

CREATE TABLE meshhook.dedupe (
    expires_at  bigint           NOT NULL,
    run_id      uuid             NOT NULL,
    project     text COLLATE "C" NOT NULL,
    key         bytea            NOT NULL,
    fingerprint bytea            NOT NULL,
    CONSTRAINT dedupe_pk PRIMARY KEY (project, key)
) WITH (autovacuum_vacuum_scale_factor = 0.1);

COMMENT ON TABLE meshhook.dedupe IS 'Which run has which deduplication key, until when. The key is a SHA-256 of scope and key.';

-- Expired keys are forgotten in the order of their expiry. Keys come nearly in that order, so the index grows at its end.
CREATE INDEX dedupe_by_expiry ON meshhook.dedupe (expires_at);

CREATE TABLE meshhook.inbox (
    id       bigint           NOT NULL GENERATED ALWAYS AS IDENTITY,
    run_id   uuid             NOT NULL,
    is_retry boolean          NOT NULL,
    project  text COLLATE "C" NOT NULL,
    owner    text COLLATE "C",
    message  text             NOT NULL,
    CONSTRAINT inbox_pk PRIMARY KEY (project, run_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE meshhook.inbox IS 'What others want from a run, until its owner has turned it into events.';

-- Looks: the messages for the runs that a worker holds, however many runs and messages there are. The owner is who held
-- the run when the message came, or took it since.
CREATE INDEX inbox_by_owner ON meshhook.inbox (owner, project, run_id) WHERE owner IS NOT NULL;

-- Workers act for all projects: the only table without one.
CREATE TABLE meshhook.workers (
    lease_until bigint           NOT NULL,
    retired     boolean          NOT NULL,
    worker      text COLLATE "C" NOT NULL,
    visited     text COLLATE "C" NOT NULL DEFAULT '',
    CONSTRAINT workers_pk PRIMARY KEY (worker)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE meshhook.workers IS 'Leases: until when a worker''s runs are its own. One row per process.';
