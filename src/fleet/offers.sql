-- What each node has that containers of others may need: told by each of its own.
CREATE TABLE offer (
    node        TEXT COLLATE "C" NOT NULL REFERENCES node (name) ON DELETE CASCADE,
    target      TEXT COLLATE "C" NOT NULL,
    fails       BOOLEAN NOT NULL,
    detail      TEXT NOT NULL,
    -- What another node has, where that is why it fails.
    blames      TEXT NOT NULL,
    -- Since it last failed.
    works_since TIMESTAMPTZ,
    PRIMARY KEY (node, target)
);

-- Where it is found: who needs something reads the rows of that alone.
CREATE TABLE offer_place (
    place  TEXT COLLATE "C" NOT NULL,
    node   TEXT COLLATE "C" NOT NULL REFERENCES node (name) ON DELETE CASCADE,
    target TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (place, node, target)
);
CREATE INDEX offer_place_node ON offer_place (node);
