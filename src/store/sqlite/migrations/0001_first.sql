-- Times are RFC 3339 in UTC with six decimals, so that they sort as text.
-- Ids are UUID version 7, so that they sort by age.

CREATE TABLE incident (
    id         TEXT PRIMARY KEY NOT NULL,
    state      TEXT NOT NULL,
    open       INTEGER NOT NULL,
    target     TEXT NOT NULL,
    severity   TEXT NOT NULL,
    opened_at  TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    closed_at  TEXT,
    document   TEXT NOT NULL
) STRICT;
CREATE INDEX incident_by_state ON incident (state, id);
CREATE INDEX incident_open ON incident (id) WHERE open = 1;

CREATE TABLE incident_target (
    target   TEXT NOT NULL,
    incident TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    PRIMARY KEY (target, incident)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_target_by_incident ON incident_target (incident);

CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at       TEXT NOT NULL,
    fix      TEXT NOT NULL,
    incident TEXT NOT NULL,
    final    INTEGER NOT NULL,
    entry    TEXT NOT NULL
) STRICT;
CREATE INDEX journal_by_fix ON journal (fix, sequence, final);
CREATE TRIGGER journal_is_append_only BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'a journal record is never changed');
END;

CREATE TABLE outcome (
    fix       TEXT PRIMARY KEY NOT NULL,
    timestamp TEXT NOT NULL,
    document  TEXT NOT NULL
) STRICT;
CREATE INDEX outcome_by_time ON outcome (timestamp);

CREATE TABLE event (
    target   TEXT NOT NULL,
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (target, at, kind)
) STRICT;
CREATE INDEX event_by_time ON event (at);

CREATE TABLE log_cursor (
    container TEXT PRIMARY KEY NOT NULL,
    document  TEXT NOT NULL
) STRICT;

CREATE TABLE observation (
    target     TEXT NOT NULL,
    at         TEXT NOT NULL,
    check_name TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (target, at, check_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX observation_by_time ON observation (at);

CREATE TABLE value (
    name     TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL,
    channel     TEXT NOT NULL,
    incident    TEXT,
    alert       TEXT NOT NULL,
    at          TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    retry_at    TEXT,
    last_error  TEXT,
    finished_at TEXT,
    UNIQUE (key, channel)
) STRICT;
CREATE INDEX delivery_waiting ON delivery (channel, incident, id) WHERE state = 'waiting';

CREATE TABLE write_check (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at TEXT NOT NULL
) STRICT;
