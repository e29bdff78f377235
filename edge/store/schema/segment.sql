-- A file of the journal: readings in order of commit. WAL, synchronous=FULL; one writer.

CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    stored_ns INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    source TEXT NOT NULL DEFAULT 'live',
    boot TEXT,
    mono_ns INTEGER,
    -- The first of the commits that the chunk was made of, its own id is that of the last: each chunk begins where the
    -- one before it ended, so that a row that damaged pages hide is missed. NULL of chunks of an older version.
    first INTEGER
) STRICT;

-- The commits of the last seconds, one row each; merged into one chunk, under the id of the last.
CREATE TABLE tail (
    id INTEGER PRIMARY KEY,
    stored_ns INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    source TEXT NOT NULL DEFAULT 'live',
    boot TEXT,
    mono_ns INTEGER
) STRICT;
