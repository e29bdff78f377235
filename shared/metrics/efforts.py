"""Accelerations and decelerations: how often, by a threshold held for a stated time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.metrics.trace import FILTER_RULE, GRID_HZ, SETTLED_RULE, Trace, trace

THRESHOLD_MPS2 = 3.0
MIN_EFFORT_S = 0.3
_MIN_POINTS = round(MIN_EFFORT_S * GRID_HZ)


def runs(
    over: NDArray[np.bool_], begins: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first index and length of each run of consecutive points over a threshold; `begins` breaks runs too."""
    marked = np.flatnonzero(over)
    if not len(marked):
        return marked, marked
    first = np.ones(len(marked), bool)
    first[1:] = np.diff(marked) > 1
    if begins is not None:
        first |= begins[marked]
    starts = np.flatnonzero(first)
    return marked[starts], np.diff(np.append(starts, len(marked)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Efforts so far, and how many points the one under way has."""

    efforts: int = 0
    under_way: int = 0

    def after(self, over: NDArray[np.bool_], begins: NDArray[np.bool_]) -> "Count":
        """Return the count after further points."""
        if not len(over):
            return self
        if not over.any():
            return Count(efforts=self.efforts)
        starts, lengths = runs(over, begins)
        lengths = lengths.copy()
        efforts, goes_on = self.efforts, starts[0] == 0 and not begins[0]
        if goes_on and self.under_way:
            efforts -= self.under_way >= _MIN_POINTS  # counted already
            lengths[0] += self.under_way
        efforts += int(np.count_nonzero(lengths >= _MIN_POINTS))
        return Count(efforts=efforts, under_way=int(lengths[-1]) if over[-1] else 0)


Counts = tuple[Count, Count]


class Efforts(FoldMetric[Trace, Counts]):
    """Accelerations and decelerations."""

    metric_id = "efforts@1"
    title = "Accelerations and decelerations"
    decimals = 0
    cut = staticmethod(trace)
    streams = ("position",)
    rules = (
        "an effort is 3 m/s² or more for 0.3 s or longer (three points); acceleration is the change of speed over "
        f"0.4 s; {SETTLED_RULE} and end it; {FILTER_RULE}; tags under 4 Hz lower the quality"
    )
    source = "Varley 2017; Delves 2021 (filter and duration stated)"
    unit = "1"
    labels = ("accelerations", "decelerations")
    formula = "number of runs of a ≥ 3 m/s², and of a ≤ −3 m/s², of at least 0.3 s"

    def begin(self, profile: Profile) -> Counts:  # noqa: ARG002  the same for everybody
        """Return none."""
        return Count(), Count()

    def add(self, total: Counts, piece: Trace, profile: Profile) -> Counts:  # noqa: ARG002  the same for everybody
        """Return the counts after the piece."""
        acceleration, believable = piece.acceleration_mps2, piece.believable
        # The small term keeps an acceleration that equals the threshold but for rounding over it.
        speeding = believable & (acceleration >= THRESHOLD_MPS2 - 1e-9)
        slowing = believable & (acceleration <= 1e-9 - THRESHOLD_MPS2)
        return total[0].after(speeding, piece.begins), total[1].after(slowing, piece.begins)

    def tell(self, folded: Folded[Trace, Counts]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the counts."""
        return tuple(float(count.efforts) for count in folded.total), ()
