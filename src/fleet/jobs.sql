-- Jobs of other programs, by the ids that those gave them: of two with the same id one is done, whichever
-- node reads it.
CREATE TABLE job (
    id   TEXT COLLATE "C" PRIMARY KEY,
    -- Who is at it, or did it.
    node TEXT COLLATE "C" NOT NULL,
    done BOOLEAN NOT NULL DEFAULT false,
    at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX job_at ON job (at);
