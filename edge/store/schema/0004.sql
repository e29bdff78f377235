-- Version 4: the journal stands in files of its own, one a session or a part of one, so that it can be removed whole.

-- Files of the journal. A chunk's id is number << 32 | n. Number 0 is the table `chunk` of this very file, as older
-- versions kept it. `filled` is the last chunk whose readings stand in batches. What a file holds is counted when it is
-- sealed: until then `last`, `readings` and `ended_ns` are told by the file.
CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    source TEXT NOT NULL,
    session_ns INTEGER NOT NULL,
    begun_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    sealed_ns INTEGER,
    filled INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0,
    readings INTEGER NOT NULL DEFAULT 0,
    removed_ns INTEGER
) STRICT;

INSERT INTO segment (number, file, source, session_ns, begun_ns, ended_ns, sealed_ns, filled, last, readings)
SELECT 0, '', 'live', min(stored_ns), min(stored_ns), max(stored_ns), max(stored_ns),
    coalesce((SELECT position FROM cursor WHERE name = 'outbox'), 0), max(id), sum(readings)
FROM chunk HAVING count(*) > 0;

DROP TABLE cursor;

-- A batch's number counts within its epoch, and a database may come to have another epoch; a batch holds readings of
-- one segment, a summary of none.
ALTER TABLE batch RENAME COLUMN seq TO id;
ALTER TABLE batch ADD COLUMN epoch TEXT;
ALTER TABLE batch ADD COLUMN seq INTEGER;
ALTER TABLE batch ADD COLUMN segment INTEGER;
UPDATE batch SET
    epoch = (SELECT value FROM meta WHERE key = 'epoch'),
    seq = id,
    segment = CASE WHEN content = 'summary' THEN NULL ELSE 0 END;
CREATE UNIQUE INDEX batch_identity ON batch (epoch, seq);
CREATE INDEX batch_refused ON batch (content, receipt, count, receipt_ns) WHERE receipt NOT IN ('stored', 'duplicate', 'split');
CREATE INDEX batch_segment ON batch (segment) WHERE receipt IS NULL OR receipt NOT IN ('stored', 'duplicate', 'split', 'damaged');

-- What is left out while room is short: summed up with every commit, and made a gap every few minutes.
CREATE TABLE gap_open (
    sensor TEXT NOT NULL,
    stream TEXT NOT NULL,
    reason TEXT NOT NULL,
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (sensor, stream, reason)
) STRICT, WITHOUT ROWID;

-- What the cloud must hold of each stream and hour (UTC): how many readings, and the sum of their digests.
CREATE TABLE tally (
    segment INTEGER NOT NULL,
    stream TEXT NOT NULL,
    hour INTEGER NOT NULL,
    count INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    agreed_ns INTEGER,
    PRIMARY KEY (segment, stream, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX tally_open ON tally (segment) WHERE agreed_ns IS NULL;
