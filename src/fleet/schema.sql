-- What several nodes share, in a schema of its own: each node's history lies in another.

-- Who may change what all of them reach. Whoever changes a row names the fence and beat that it saw.
CREATE TABLE lease (
    target    TEXT COLLATE "C" PRIMARY KEY,
    holder    TEXT NOT NULL,
    fence     BIGINT NOT NULL,
    beat      BIGINT NOT NULL,
    length_ms BIGINT NOT NULL,
    wanted_by TEXT
);

CREATE TABLE node (
    name    TEXT COLLATE "C" PRIMARY KEY,
    history TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    mode    TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    summary TEXT NOT NULL
);

-- What people decided on one node about what is another's.
CREATE TABLE decision (
    id       TEXT COLLATE "C" PRIMARY KEY,
    node     TEXT COLLATE "C" NOT NULL,
    kind     TEXT NOT NULL,
    payload  TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL,
    begun    BOOLEAN NOT NULL DEFAULT false,
    done     BOOLEAN,
    answer   TEXT
);
CREATE INDEX decision_waiting ON decision (node, asked_at) WHERE done IS NULL;

-- `xact` is the transaction that wrote it: read by it, nothing is missed that is committed late.
CREATE TABLE outcome (
    fix      TEXT COLLATE "C" PRIMARY KEY,
    node     TEXT COLLATE "C" NOT NULL,
    shared   TEXT COLLATE "C",
    document TEXT NOT NULL,
    xact     XID8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX outcome_by_xact ON outcome (xact);

-- The repairs of all nodes, for those who read them: as each node's own view of that name.
CREATE VIEW repair_history AS
SELECT fix                                                      AS repair_id,
       node                                                     AS orchestrator_id,
       document::json ->> 'issue_type'                          AS error_type,
       CASE document::json ->> 'success' WHEN 'true' THEN 'success' ELSE 'failed' END AS status,
       (document::json ->> 'confidence')::double precision / 100 AS confidence_score,
       (document::json ->> 'time_to_repair_secs')::double precision AS execution_time,
       (document::json ->> 'timestamp')::timestamptz            AS created_at
FROM outcome;
