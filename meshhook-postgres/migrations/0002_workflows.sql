-- 0002: projects; workflows, their versions, definitions and hooks; sealed secrets.
--
-- A definition is kept once by its digest and never removed: versions and runs point to it. A secret whose sealed value
-- is null was removed; its row goes on counting versions.

CREATE TABLE meshhook.projects (
    created_at bigint           NOT NULL,
    project    text COLLATE "C" NOT NULL,
    name       bytea,
    CONSTRAINT projects_pk PRIMARY KEY (project)
);

COMMENT ON TABLE meshhook.projects IS 'Projects, each made once and never removed.';

CREATE INDEX projects_by_creation ON meshhook.projects (created_at, project);

INSERT INTO meshhook.projects (project, created_at) VALUES ('default', 0);

CREATE TABLE meshhook.workflows (
    revision          bigint           NOT NULL,
    created_at        bigint           NOT NULL,
    updated_at        bigint           NOT NULL,
    latest_version    bigint,
    published_version bigint,
    project           text COLLATE "C" NOT NULL,
    slug              text COLLATE "C" NOT NULL,
    draft             bytea            NOT NULL,
    CONSTRAINT workflows_pk PRIMARY KEY (project, slug)
);

COMMENT ON TABLE meshhook.workflows IS 'Workflows with their drafts: JSON as UTF-8 text.';

CREATE INDEX workflows_by_creation ON meshhook.workflows (project, created_at, slug);

CREATE TABLE meshhook.versions (
    version    bigint           NOT NULL,
    created_at bigint           NOT NULL,
    project    text COLLATE "C" NOT NULL,
    slug       text COLLATE "C" NOT NULL,
    digest     bytea            NOT NULL,
    CONSTRAINT versions_pk PRIMARY KEY (project, slug, version)
);

COMMENT ON TABLE meshhook.versions IS 'Published versions, each with the digest of its definition.';

CREATE TABLE meshhook.definitions (
    project    text COLLATE "C" NOT NULL,
    digest     bytea            NOT NULL,
    definition bytea            NOT NULL,
    CONSTRAINT definitions_pk PRIMARY KEY (project, digest)
);

COMMENT ON TABLE meshhook.definitions IS 'Definitions by digest: canonical JSON as UTF-8 text.';

CREATE TABLE meshhook.hooks (
    project text COLLATE "C" NOT NULL,
    path    text COLLATE "C" NOT NULL,
    slug    text COLLATE "C" NOT NULL,
    trigger text COLLATE "C" NOT NULL,
    CONSTRAINT hooks_pk PRIMARY KEY (project, path)
);

COMMENT ON TABLE meshhook.hooks IS 'Live webhook paths and the triggers that they lead to.';

CREATE INDEX hooks_by_workflow ON meshhook.hooks (project, slug);

CREATE TABLE meshhook.secrets (
    version    bigint           NOT NULL,
    created_at bigint           NOT NULL,
    updated_at bigint           NOT NULL,
    project    text COLLATE "C" NOT NULL,
    name       bytea            NOT NULL,
    sealed     bytea,
    CONSTRAINT secrets_pk PRIMARY KEY (project, name)
);

COMMENT ON TABLE meshhook.secrets IS 'Sealed secrets by name.';
