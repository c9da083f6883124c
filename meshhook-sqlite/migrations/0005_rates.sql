-- 0005: token buckets.
--
-- A bucket without a row is full. Rows are kept a while longer than until then, so that most changes leave the index alone.

CREATE TABLE rates (
    project    TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    full_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT rates_pk PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX rates_by_expiry ON rates (expires_at);
