-- The ledger of received batches. A row is written only after its object is durable.

CREATE TABLE batches (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival; never reused
    gateway     TEXT    NOT NULL,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL CHECK (seq >= 0),
    lane        TEXT    NOT NULL,
    content     TEXT    NOT NULL,
    schema      INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    count       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    object      TEXT    NOT NULL,
    received_ns INTEGER NOT NULL,
    UNIQUE (gateway, epoch, seq)
) STRICT;

CREATE INDEX batches_by_arrival ON batches (gateway, id);

-- What would otherwise be counted over `batches` at every receipt.
CREATE TABLE epochs (
    gateway        TEXT    NOT NULL,
    epoch          TEXT    NOT NULL,
    contiguous_seq INTEGER NOT NULL DEFAULT -1,
    stored         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, epoch)
) STRICT, WITHOUT ROWID;

-- Batches not taken: other bytes under a known id, or bytes that do not decode. Kept aside for people to look at.
CREATE TABLE refusals (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway     TEXT    NOT NULL,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    verdict     TEXT    NOT NULL,
    problem     TEXT    NOT NULL,
    sha256      TEXT    NOT NULL,
    object      TEXT    NOT NULL,
    received_ns INTEGER NOT NULL,
    UNIQUE (gateway, epoch, seq, sha256)
) STRICT;
