-- 0002: workflows, their versions, definitions and hooks; sealed secrets.
--
-- A definition is kept once by its digest and never removed: versions and runs point to it. A secret whose sealed
-- value is null was removed; its row goes on counting versions.

CREATE TABLE workflows (
    project           TEXT    NOT NULL,
    slug              TEXT    NOT NULL,
    draft             TEXT    NOT NULL,
    revision          INTEGER NOT NULL,
    latest_version    INTEGER,
    published_version INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    CONSTRAINT workflows_pk PRIMARY KEY (project, slug)
) STRICT;

CREATE INDEX workflows_by_creation ON workflows (project, created_at, slug);

CREATE TABLE versions (
    project    TEXT    NOT NULL,
    slug       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    digest     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT versions_pk PRIMARY KEY (project, slug, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions (
    project    TEXT NOT NULL,
    digest     TEXT NOT NULL,
    definition TEXT NOT NULL,
    CONSTRAINT definitions_pk PRIMARY KEY (project, digest)
) STRICT;

CREATE TABLE hooks (
    project  TEXT NOT NULL,
    path     TEXT NOT NULL,
    slug     TEXT NOT NULL,
    trigger  TEXT NOT NULL,
    CONSTRAINT hooks_pk PRIMARY KEY (project, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX hooks_by_workflow ON hooks (project, slug);

CREATE TABLE secrets (
    project    TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    sealed     BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT secrets_pk PRIMARY KEY (project, name)
) STRICT;
