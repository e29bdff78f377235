-- The gateway's database, version 1. WAL, synchronous=FULL; one writer.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- The journal: everything stored, in order of commit. Readers keep cursors; delivery deletes nothing.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    stored_ns INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Frames that could not be used, with their bytes.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    received_ns INTEGER NOT NULL,
    sensor TEXT NOT NULL,
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- How many frames were set aside, by sensor and reason; the bytes above are kept of the first of each only.
CREATE TABLE quarantine_count (
    sensor TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    PRIMARY KEY (sensor, reason)
) STRICT, WITHOUT ROWID;

-- Readings known to be missing.
CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    sensor TEXT,
    stream TEXT NOT NULL,
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    athlete TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    cause TEXT NOT NULL,
    why TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER
) STRICT, WITHOUT ROWID;

-- The outbox: the exact bytes of each upload, kept before the first attempt and until the receipt.
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    content TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    count INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    body BLOB,
    receipt TEXT,
    receipt_ns INTEGER
) STRICT;
CREATE INDEX batch_pending ON batch (lane, seq) WHERE receipt IS NULL;

-- How far each reader of the journal has come.
CREATE TABLE cursor (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
