-- The documented table of repairs, for those who read it: one row a fix.
-- It comes before the tables: SQLite's check of a whole file leaves out the header where it meets
-- a view first, and it begins with the newest (a test sees to it that it meets a table).
CREATE VIEW repair_history AS
SELECT fix                                             AS repair_id,
       'selfheal'                                      AS orchestrator_id,
       document ->> '$.issue_type'                     AS error_type,
       CASE document ->> '$.success' WHEN 1 THEN 'success' ELSE 'failed' END AS status,
       (document ->> '$.confidence') / 100.0           AS confidence_score,
       document ->> '$.time_to_repair_secs'            AS execution_time,
       timestamp                                       AS created_at
FROM outcome;

-- What is still to be sent to PostgreSQL: which rows changed, each once. Nothing is noted here
-- unless `store.url` names a server.
CREATE TABLE outgoing (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    kept_in TEXT NOT NULL,
    key     TEXT NOT NULL,
    UNIQUE (kept_in, key)
) STRICT;

-- Whose history this is: the same name stands in the PostgreSQL database that it is sent to. `sent`
-- is the last note of which it is known to be there; NULL: not every change since is noted above,
-- so that it must be sent as a whole.
CREATE TABLE origin (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    sent INTEGER
) STRICT;
