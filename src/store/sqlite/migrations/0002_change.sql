-- What changed on containers: the newest of each, bounded by count and by age.

CREATE TABLE change (
    target   TEXT NOT NULL,
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    what     TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (target, at, kind, what)
) STRICT;
CREATE INDEX change_by_time ON change (at);
