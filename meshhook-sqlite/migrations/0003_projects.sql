-- 0003: projects.
--
-- Until now a project came to be by being used, so whichever was used exists. The project that exists from the start
-- is older than all others.

CREATE TABLE projects (
    id         TEXT    NOT NULL,
    name       TEXT,
    created_at INTEGER NOT NULL,
    CONSTRAINT projects_pk PRIMARY KEY (id)
) STRICT;

CREATE INDEX projects_by_creation ON projects (created_at, id);

INSERT INTO projects (id, created_at) VALUES ('default', 0);

INSERT OR IGNORE INTO projects (id, created_at)
SELECT project, min(created_at) FROM (
    SELECT project, created_at FROM workflows UNION ALL SELECT project, created_at FROM secrets
) GROUP BY project;
