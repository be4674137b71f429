-- A checksum over all that stands in a row, written with it. Rows from before are given theirs
-- at the first start, once; `user_version` then holds the seal over the schema.

ALTER TABLE incident ADD COLUMN checksum INTEGER;
ALTER TABLE incident_target ADD COLUMN checksum INTEGER;
ALTER TABLE journal ADD COLUMN checksum INTEGER;
ALTER TABLE outcome ADD COLUMN checksum INTEGER;
ALTER TABLE event ADD COLUMN checksum INTEGER;
ALTER TABLE log_cursor ADD COLUMN checksum INTEGER;
ALTER TABLE observation ADD COLUMN checksum INTEGER;
ALTER TABLE value ADD COLUMN checksum INTEGER;
ALTER TABLE delivery ADD COLUMN checksum INTEGER;
ALTER TABLE change ADD COLUMN checksum INTEGER;

DROP TRIGGER journal_is_append_only;
CREATE TRIGGER journal_is_append_only BEFORE UPDATE ON journal WHEN OLD.checksum IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a journal record is never changed');
END;

-- How many times something was written.
CREATE TABLE commits (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO commits (id, count) VALUES (1, 0);
