-- When the clock was last seen as it was before a step, and what UTC differed from monotonic time by after it: readings
-- that came between are on the side that their own time says. NULL in steps of version 3, where that was not known.
ALTER TABLE clock_step ADD COLUMN since_ns INTEGER;
ALTER TABLE clock_step ADD COLUMN offset_ns INTEGER NOT NULL DEFAULT 0;
