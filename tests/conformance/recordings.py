"""A recording of one athlete with everything that happens on a pitch, for the suites over metrics and features."""

import numpy as np

from shared.clock import NS_PER_MS, NS_PER_S
from shared.readings import Readings, select
from shared.windows import Window, Windower
from tests.factories import START_NS, TAG, readings

SECONDS = 90
LATENESS_NS = NS_PER_S


def recording(seed: int = 11) -> list[Readings]:
    """Return heart rate at 1 Hz and positions at 10 Hz with NaN, flags and jumps, one block per stream."""
    rng = np.random.default_rng(seed)
    heart = 140 + 30 * np.sin(np.arange(SECONDS) / 15) + rng.normal(0, 1, SECONDS)
    beats = np.column_stack((np.round(heart), np.ones(SECONDS), np.full(SECONDS, np.nan)))
    beats[40] = np.nan
    flags = np.zeros(SECONDS, np.uint8)
    flags[50:53] = 2
    count = SECONDS * 10
    heading = np.cumsum(rng.normal(0, 0.1, count))
    speed = np.abs(3 + 2.5 * np.sin(np.arange(count) / 60))
    path = np.cumsum(0.1 * speed[:, None] * np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
    path[300] = np.nan
    path[500] += 80.0
    times = START_NS + np.arange(count) * 100 * NS_PER_MS + rng.integers(0, 20 * NS_PER_MS, count)
    return [
        readings("heart_rate", beats, quality=flags.tolist()),
        readings("position", np.column_stack((path, np.ones(count))), times_ns=times, sensor=TAG),
    ]


def whole(blocks: list[Readings]) -> list[Window]:
    """Return the windows of a recording given in time order."""
    return windows([select(block, np.array([i])) for block in blocks for i in range(len(block))], jitter_s=0.0)


def windows(singles: list[Readings], *, jitter_s: float, seed: int = 5) -> list[Window]:
    """Return the windows of readings that arrive one by one, each up to `jitter_s` late."""
    rng = np.random.default_rng(seed)
    arrival = [int(r.time_ns[0]) + round(rng.uniform(0, jitter_s) * NS_PER_S) for r in singles]
    windower = Windower(lateness_ns=LATENESS_NS)
    closed: list[Window] = []
    for i in np.argsort(arrival, kind="stable"):
        closed += windower.push(singles[i])
    closed += windower.flush()
    assert windower.late == 0
    return closed
