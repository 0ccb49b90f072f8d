-- +goose Up
CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    payload    BLOB,
    status     TEXT NOT NULL,
    failed     TEXT NOT NULL,
    cause      TEXT NOT NULL,
    notes      TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_status ON runs (status, started_at);

CREATE TABLE steps (
    run                TEXT    NOT NULL REFERENCES runs (id),
    position           INTEGER NOT NULL,
    name               TEXT    NOT NULL,
    point_of_no_return INTEGER NOT NULL,
    phase              TEXT    NOT NULL,
    started_at         INTEGER NOT NULL,
    elapsed            INTEGER NOT NULL,
    error              TEXT    NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    environment TEXT    NOT NULL,
    service     TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (environment, service, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE deployments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    environment TEXT    NOT NULL,
    service     TEXT    NOT NULL,
    release     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    outcome     TEXT    NOT NULL
) STRICT;
CREATE INDEX deployments_by_service ON deployments (environment, service, id);

CREATE TABLE documents (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE documents;
DROP TABLE deployments;
DROP TABLE releases;
DROP TABLE steps;
DROP TABLE runs;
