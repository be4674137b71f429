-- What a node told before, and the decisions that may be forgotten, are found without reading those of all.
CREATE INDEX outcome_node ON outcome (node);
CREATE INDEX decision_done ON decision (asked_at) WHERE done IS NOT NULL;
