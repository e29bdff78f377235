"""Intervals over resampled games: what happens in one game is far from independent, so whole games are drawn."""

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
SEED = 20_26
_TAILS = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)

Floats = NDArray[np.floating]


class Value(msgspec.Struct, frozen=True):
    """A measured value with its 95 % interval over resampled games; of a single game there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Resampling:
    """Draws of games with replacement, the same ones for everything measured, so that differences are paired."""

    def __init__(self, group: NDArray[np.generic], *, seed: int = SEED) -> None:
        """`group` [n] is each row's game (or athlete, or season)."""
        names, self._row = np.unique(group, return_inverse=True)
        self.groups = len(names)
        rng = np.random.default_rng(seed)
        share = np.full(max(self.groups, 1), 1.0 / max(self.groups, 1))
        self._draws = rng.multinomial(self.groups, share, RESAMPLES)[:, : self.groups].astype(np.float64)

    def sums(self, values: NDArray[np.generic]) -> Floats:
        """Return the sums of `values` [n] by group."""
        return np.asarray(np.bincount(self._row, weights=values.astype(np.float64), minlength=self.groups), np.float64)

    def ratio(self, top: Floats, bottom: Floats, *, root: bool = False) -> Value:
        """Return sum(top) / sum(bottom) of sums by group, or its square root."""
        return self.of(_ratio(top.sum(), bottom.sum(), root=root), self.drawn(top, bottom, root=root))

    def drawn(self, top: Floats, bottom: Floats, *, root: bool = False) -> Floats:
        """Return the same ratio for each draw of groups."""
        return _ratio(self._draws @ top, self._draws @ bottom, root=root)

    def mean(self, values: NDArray[np.generic]) -> Value:
        """Return the mean of `values` [n]."""
        return self.ratio(self.sums(values), self.sums(np.ones(len(values))))

    def of(self, value: float | Floats, drawn: Floats) -> Value:
        """Return a value with the interval of its draws; of a single group there is none."""
        known = drawn[np.isfinite(drawn)]
        if self.groups < 2 or not len(known):
            return Value(float(value))
        low, high = np.percentile(known, _TAILS)
        return Value(float(value), float(low), float(high))


def _ratio(top: float | Floats, bottom: float | Floats, *, root: bool) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.asarray(np.divide(top, bottom))
        return np.sqrt(quotient) if root else quotient
