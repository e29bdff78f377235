"""Readings that hold until the next one: heart rate, power, device speed, balance.

A reading holds until the next if that comes within 5 s; of a longer gap one nominal second counts and the rest is left
out and lowers the coverage. Readings that are flagged as unusable, or are not numbers, are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.fold import DOUBTED
from shared.quantities import STREAMS
from shared.readings import Quality
from shared.windows import Window

HOLD_S = 5.0
NOMINAL_S = 1.0
HOLD_RULE = "a reading holds for 5 s at most; of a longer gap one second counts, and the coverage falls"
_NOMINAL_NS = round(NOMINAL_S * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """n readings with how long each held: `values` float64[n, k], `seconds` float64[n], `times_ns` int64[n]."""

    times_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    first_ns: int
    last_ns: int
    covered_s: float
    sound_s: float
    tail: "Last | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last reading, which still holds."""

    time_ns: int
    row: NDArray[np.float64]
    sound: bool

    def rest(self) -> Held:
        """Return it held for its nominal second."""
        return Held(
            times_ns=np.array([self.time_ns]),
            values=self.row[None],
            seconds=np.array([NOMINAL_S]),
            first_ns=self.time_ns,
            last_ns=self.time_ns + _NOMINAL_NS,
            covered_s=NOMINAL_S,
            sound_s=NOMINAL_S * self.sound,
            tail=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hold:
    """Cuts windows into held readings of some columns of a stream; rows where one of them is NaN are left out."""

    stream: str
    columns: tuple[int, ...]
    unusable: int = int(Quality.IMPLAUSIBLE)

    def __call__(self, before: Last | None, window: Window) -> Held | None:
        """Return the readings that the window's ended, and its own but for the last."""
        block = window.streams.get(self.stream)
        if block is None:
            return None
        values = block.values[:, self.columns]
        usable = (block.quality & np.uint8(self.unusable)) == 0
        usable &= ~np.isnan(values).any(axis=1)
        if not usable.any():
            return None
        times, values = block.time_ns[usable], values[usable]
        sound = (block.quality[usable] & DOUBTED) == 0
        last = Last(time_ns=int(times[-1]), row=values[-1], sound=bool(sound[-1]))
        first_ns = int(times[0])
        if before is not None:
            times = np.concatenate(([before.time_ns], times))
            values = np.concatenate((before.row[None], values))
            sound = np.concatenate(([before.sound], sound))
        gaps_s = np.maximum((times[1:] - times[:-1]) / NS_PER_S, 0.0)
        seconds = np.where(gaps_s <= HOLD_S, gaps_s, NOMINAL_S)
        return Held(
            times_ns=times[:-1],
            values=values[:-1],
            seconds=seconds,
            first_ns=first_ns,
            last_ns=last.time_ns,
            covered_s=float(seconds.sum()),
            sound_s=float(seconds @ sound[:-1]),
            tail=last,
        )


def hold(stream: str, *quantities: str, unusable: Quality = Quality.IMPLAUSIBLE) -> Hold:
    """Return what cuts windows into held readings of these quantities of a stream."""
    columns = tuple(STREAMS[stream].column(quantity) for quantity in quantities)
    return Hold(stream=stream, columns=columns, unusable=int(unusable))


HEART = hold("heart_rate", "heart_rate_bpm", unusable=Quality.IMPLAUSIBLE | Quality.NO_CONTACT)
POWER = hold("power", "power_w")
DEVICE_SPEED = hold("speed", "speed_mps")
