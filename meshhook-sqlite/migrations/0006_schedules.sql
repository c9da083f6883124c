-- 0006: schedules.
--
-- The schedules of a workflow's published version; they stay when it is unpublished, without being due. What slots there
-- are up to done_until has been dealt with; wake_at says when somebody has to look at the next ones, and is null while
-- nobody has to. What came from seen_since to seen_until somebody saw, who may have died since. Workflows that are
-- published already have none until their next publication: no statement can read definitions.

CREATE TABLE schedules (
    project    TEXT    NOT NULL,
    slug       TEXT    NOT NULL,
    trigger    TEXT    NOT NULL,
    cron       TEXT    NOT NULL,
    timezone   TEXT    NOT NULL,
    done_until INTEGER NOT NULL,
    wake_at    INTEGER,
    last_at    INTEGER,
    paused     INTEGER NOT NULL,
    turn       INTEGER NOT NULL,
    seen_since INTEGER NOT NULL,
    seen_until INTEGER NOT NULL,
    CONSTRAINT schedules_pk PRIMARY KEY (project, slug, trigger)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_due ON schedules (wake_at, project, slug, trigger) WHERE wake_at IS NOT NULL;
