-- What a node has frozen of what several reach, as a list in JSON; mostly none has anything.
ALTER TABLE node ADD COLUMN frozen TEXT NOT NULL DEFAULT '';
CREATE INDEX node_frozen ON node (name) WHERE frozen <> '';
