-- Of each node the newest hundred of a kind are kept: each takes out its own older ones when it tells a new one. A
-- kind is what was wrong and what was done, and where several nodes reach the target, the target. More of them nobody
-- needs to learn from; all of a node's own stay in its own schema. Nobody else takes out what a node told, so that of
-- one that is gone for good so many stay; what was told before is made so few here, since that one cannot do it.
LOCK TABLE outcome IN ACCESS EXCLUSIVE MODE;
DELETE FROM outcome WHERE fix IN (
    SELECT fix FROM (
        SELECT fix, row_number() OVER (
            PARTITION BY node, document::json ->> 'issue_type', document::json ->> 'fix_type', shared
            ORDER BY (document::json ->> 'timestamp')::timestamptz DESC, fix DESC) AS nth
        FROM outcome) ranked
    WHERE nth > 100);
-- Also of what a node of an earlier version tells.
ALTER TABLE outcome ADD COLUMN kind TEXT COLLATE "C"
    GENERATED ALWAYS AS ((document::json ->> 'issue_type') || ' ' || (document::json ->> 'fix_type')) STORED;
-- The newest of a kind, and of a target, are found without reading what is older. By `outcome_by_xact` read nodes of an
-- earlier version, and what a dump brought from a server that had counted further is found.
CREATE INDEX outcome_kind ON outcome (kind, xact);
CREATE INDEX outcome_shared ON outcome (shared, xact) WHERE shared IS NOT NULL;
COMMENT ON VIEW repair_history IS
    'Of each node the newest hundred repairs of a kind; all of them are in the view of that name in its own schema.';
