"""What is stored while room is short: raw motion is thinned first, then positions; everything else is always kept.

Rules without I/O. Each reading that is left out is counted in a gap record, which is stored and uploaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from shared.ids import SensorId
from shared.readings import Gap, Readings, select


class Level(IntEnum):
    """How short room is; a level includes what those before it leave out."""

    NORMAL = 0
    THIN_IMU = 1
    """Every fourth reading of raw motion and of other waveforms is kept."""
    THIN_POSITIONS = 2
    """No waveforms, every fifth position."""
    ESSENTIAL = 3
    """Neither waveforms nor positions."""


WATERMARKS_PERCENT = {Level.THIN_IMU: 70, Level.THIN_POSITIONS: 85, Level.ESSENTIAL: 95}
"""How full the store is when a level begins."""
# Room that comes and goes by a chunk must not switch a level on and off.
_LEFT_BELOW_PERCENT = 3
_WAVEFORMS = frozenset({"imu", "ecg"})
_PLACES = frozenset({"position", "location"})
_WAVEFORM_STEP, _PLACE_STEP = 4, 5
THINNED = "thinned"
"""How the reasons of such gaps begin; the store sums them up, for they come with every commit."""


def fullness_percent(*, store_bytes: int, quota_bytes: int, free_bytes: int) -> float:
    """Return how full the store is of what it may take: its quota, or what the disk leaves it if that is less."""
    return 100.0 * store_bytes / max(1, min(quota_bytes, store_bytes + free_bytes))


def next_level(level: Level, full_percent: float) -> Level:
    """Return the level that follows: one begins at its mark, and is left 3 % below it."""
    while level < Level.ESSENTIAL and full_percent >= WATERMARKS_PERCENT[Level(level + 1)]:
        level = Level(level + 1)
    while level > Level.NORMAL and full_percent < WATERMARKS_PERCENT[level] - _LEFT_BELOW_PERCENT:
        level = Level(level - 1)
    return level


def thin(blocks: Sequence[Readings], level: Level) -> tuple[list[Readings], list[Gap]]:
    """Return what is kept of the blocks, in order, and a gap record for each block that lost readings.

    Which readings are kept depends on their own numbers only: a repeated delivery is thinned alike.
    """
    if level is Level.NORMAL:
        return list(blocks), []
    kept: list[Readings] = []
    gaps: list[Gap] = []
    for block in blocks:
        step = _step(block.stream, level)
        if step == 1:
            kept.append(block)
            continue
        stays = block.sequence % step == 0 if step else np.zeros(len(block), bool)
        if stays.all():
            kept.append(block)
            continue
        if stays.any():
            kept.append(select(block, stays))
        times_ns = block.time_ns[~stays]
        gaps.append(
            Gap(
                sensor=block.sensor,
                stream=block.stream,
                from_ns=int(times_ns.min()),
                to_ns=int(times_ns.max()),
                count=len(times_ns),
                reason=f"{THINNED}: store is over {WATERMARKS_PERCENT[level]} % full",
            )
        )
    return kept, gaps


def _step(stream: str, level: Level) -> int:
    """Return that every how many-th reading is kept, 0 for none."""
    if stream in _WAVEFORMS:
        return {Level.NORMAL: 1, Level.THIN_IMU: _WAVEFORM_STEP}.get(level, 0)
    if stream in _PLACES and level >= Level.THIN_POSITIONS:
        return _PLACE_STEP if level is Level.THIN_POSITIONS else 0
    return 1


@dataclass(slots=True)
class _Missing:
    """What one sensor's stream has lost since the last gap record."""

    from_ns: int
    to_ns: int
    count: int


class Thinning:
    """Thins what is stored by the level of the moment, and sums up what it leaves out from commit to commit."""

    def __init__(self) -> None:
        self.level = Level.NORMAL
        self._missing: dict[tuple[SensorId | None, str, str], _Missing] = {}

    def look(self, full_percent: float) -> Level:
        """Take how full it is now and return the level that holds from here on."""
        self.level = next_level(self.level, full_percent)
        return self.level

    def take(self, blocks: Sequence[Readings]) -> list[Readings]:
        """Return what is to be stored of the blocks, in order."""
        kept, gaps = thin(blocks, self.level)
        for gap in gaps:
            key = (gap.sensor, gap.stream, gap.reason)
            known = self._missing.get(key)
            if known is None:
                self._missing[key] = _Missing(gap.from_ns, gap.to_ns, gap.count)
            else:
                known.from_ns, known.to_ns = min(known.from_ns, gap.from_ns), max(known.to_ns, gap.to_ns)
                known.count += gap.count
        return kept

    def take_gaps(self) -> list[Gap]:
        """Return what was left out since the last call, one gap a sensor, stream and reason."""
        missing, self._missing = self._missing, {}
        return [
            Gap(sensor=sensor, stream=stream, from_ns=lost.from_ns, to_ns=lost.to_ns, count=lost.count, reason=reason)
            for (sensor, stream, reason), lost in missing.items()
        ]
