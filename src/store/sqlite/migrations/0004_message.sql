-- What goes to other programs by streams: a row goes when it was taken. The numbers never begin
-- anew, since what is told up to a number is gone.

CREATE TABLE message (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Jobs of other programs that are done or given up: what comes twice is done once.
CREATE TABLE job (
    id       TEXT NOT NULL PRIMARY KEY,
    at       TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
