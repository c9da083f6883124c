-- 0001: runs, their histories, messages for them, and who works on them.
--
-- A run is in one of three places: held (owner), released (neither owner nor ended; wake_at says when it is due by
-- itself), or ended. The row of a run is written when it is started, released, claimed or ended, not per commit: where
-- its history ends is read from the history's index. Times are microseconds since the Unix epoch.

CREATE TABLE runs (
    project     TEXT    NOT NULL,
    run_id      BLOB    NOT NULL,
    workflow    TEXT    NOT NULL,
    version     INTEGER,
    digest      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    test        INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    finished_at INTEGER,
    failure     TEXT,
    owner       TEXT,
    wake_at     INTEGER,
    ended       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    claim       INTEGER NOT NULL,
    last_holder TEXT    NOT NULL,
    strikes     INTEGER NOT NULL,
    strike_seq  INTEGER NOT NULL,
    CONSTRAINT runs_pk PRIMARY KEY (project, run_id)
) STRICT, WITHOUT ROWID;

-- Claims: what is due, per project. Runs without a wake-up time are not in it.
CREATE INDEX runs_due ON runs (project, wake_at, run_id) WHERE wake_at IS NOT NULL;
-- What a worker holds.
CREATE INDEX runs_held ON runs (owner, project, run_id) WHERE owner IS NOT NULL;
-- What a worker holds that was an orphan before: the only runs that can be suspects.
CREATE INDEX runs_struck ON runs (owner, project, run_id) WHERE owner IS NOT NULL AND strikes > 0;
-- Lists. Most runs end well; the index for the others stays small.
CREATE INDEX runs_by_workflow ON runs (project, workflow, run_id);
CREATE INDEX runs_by_status ON runs (project, status, run_id) WHERE status <> 'succeeded';

-- One row per commit. A table with rowids, since the texts are long.
CREATE TABLE history (
    project   TEXT    NOT NULL,
    run_id    BLOB    NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    text      TEXT    NOT NULL,
    hash      BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX history_by_run ON history (project, run_id, last_seq);

CREATE TABLE dedupe (
    project     TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    run_id      BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    CONSTRAINT dedupe_pk PRIMARY KEY (project, scope, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dedupe_by_expiry ON dedupe (expires_at);

-- AUTOINCREMENT: an id names one message for ever, so that consuming it twice does not take a later one.
CREATE TABLE inbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    project  TEXT    NOT NULL,
    run_id   BLOB    NOT NULL,
    is_retry INTEGER NOT NULL,
    message  TEXT    NOT NULL
) STRICT;

CREATE INDEX inbox_by_run ON inbox (project, run_id, id);

-- Workers act for all projects: the only table without one.
CREATE TABLE workers (
    worker      TEXT    NOT NULL,
    lease_until INTEGER NOT NULL,
    retired     INTEGER NOT NULL,
    CONSTRAINT workers_pk PRIMARY KEY (worker)
) STRICT, WITHOUT ROWID;
