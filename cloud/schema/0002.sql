-- Counts and digests by stream and hour of what each batch holds, and what became of objects that were lost.

ALTER TABLE batches ADD COLUMN lost_ns INTEGER;                     -- when its object was found missing or damaged
ALTER TABLE batches ADD COLUMN checked_ns INTEGER NOT NULL DEFAULT 0;  -- when its object last matched its SHA-256
-- Batches from before this file get their tallies when they are first asked for.
ALTER TABLE batches ADD COLUMN tallied INTEGER NOT NULL DEFAULT 0;
UPDATE batches SET tallied = 1 WHERE content = 'summary';
CREATE INDEX batches_untallied ON batches (gateway) WHERE tallied = 0;

CREATE TABLE tallies (
    gateway TEXT    NOT NULL,
    stream  TEXT    NOT NULL,
    hour    INTEGER NOT NULL,  -- begins hour * 3600 s after 1970 UTC
    batch   INTEGER NOT NULL REFERENCES batches (id),
    count   INTEGER NOT NULL,
    digest  INTEGER NOT NULL,  -- see shared/tally.py
    PRIMARY KEY (gateway, stream, hour, batch)
) STRICT, WITHOUT ROWID;

ALTER TABLE epochs ADD COLUMN highest_seq INTEGER NOT NULL DEFAULT -1;
UPDATE epochs SET highest_seq = (
    SELECT coalesce(max(seq), -1) FROM batches WHERE batches.gateway = epochs.gateway AND batches.epoch = epochs.epoch
);
