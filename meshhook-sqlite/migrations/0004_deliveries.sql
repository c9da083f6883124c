-- 0004: deliveries.
--
-- Rows come nearly in the order of their ids, and go in the order of their expiry. Most deliveries are accepted; the index
-- for other verdicts stays small.

CREATE TABLE deliveries (
    project    TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    workflow   TEXT,
    verdict    TEXT    NOT NULL,
    facts      TEXT    NOT NULL,
    sealed     BLOB
) STRICT;

CREATE UNIQUE INDEX deliveries_by_project ON deliveries (project, id);
CREATE INDEX deliveries_by_workflow ON deliveries (project, workflow, id) WHERE workflow IS NOT NULL;
CREATE INDEX deliveries_by_verdict ON deliveries (project, verdict, id) WHERE verdict <> 'accepted';
CREATE INDEX deliveries_by_expiry ON deliveries (expires_at);
