-- Which run of the gateway stored a chunk, and when by its monotonic clock: what a clock that is set later moves.
ALTER TABLE chunk ADD COLUMN boot TEXT;
ALTER TABLE chunk ADD COLUMN mono_ns INTEGER;

-- Moments at which the machine's clock was set, between two looks at it: all before, of the same run, was stamped
-- `shift_ns` too early. `offset_ns` is what UTC differed from monotonic time by afterwards: what came between the two
-- looks is on the side that its own time says.
CREATE TABLE clock_step (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    shift_ns INTEGER NOT NULL,
    offset_ns INTEGER NOT NULL
) STRICT;
