-- Version 2: readings out of files stand in the journal beside live ones, and never in a live session.

-- 'live' came from sensors at the time; 'file' was imported.
ALTER TABLE chunk ADD COLUMN source TEXT NOT NULL DEFAULT 'live';

-- Files imported: `origin` is that of their readings, the digest of their content.
CREATE TABLE import (
    origin TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    imported_ns INTEGER NOT NULL,
    readings INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
