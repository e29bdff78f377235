-- Which run of the gateway stored a chunk, and when by its monotonic clock: what a clock that is set later moves.
ALTER TABLE chunk ADD COLUMN boot TEXT;
ALTER TABLE chunk ADD COLUMN mono_ns INTEGER;

-- Moments at which the machine's clock was set: all before it, of the same run, was stamped `shift_ns` too early.
CREATE TABLE clock_step (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    mono_ns INTEGER NOT NULL,
    shift_ns INTEGER NOT NULL
) STRICT;
