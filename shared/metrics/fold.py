"""How most metrics are built: a stream is cut into pieces, one per window, and each piece is added to a total.

What has to look at neighbouring readings (filters, medians, holding a value) carries the end of one piece into the
next as its tail, so that windows of any length give the same pieces, end to end. All metrics that read the same pieces
share the work of making them (`Window.once`).
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue, Profile
from shared.readings import Quality
from shared.windows import Window

DOUBTED = np.uint8(Quality.CLOCK_CORRECTED | Quality.UNCERTAIN | Quality.ESTIMATED)
"""Readings that are used and lower the quality."""


class Piece(Protocol):
    """What a window adds. `first_ns`..`last_ns` are its readings' times, NaN-free and in order.

    `covered_s` is the time that it speaks for, `sound_s` the part of it that nothing is wrong with. `tail` is what the
    next piece has to be cut with.
    """

    @property
    def first_ns(self) -> int: ...  # noqa: D102
    @property
    def last_ns(self) -> int: ...  # noqa: D102
    @property
    def covered_s(self) -> float: ...  # noqa: D102
    @property
    def sound_s(self) -> float: ...  # noqa: D102
    @property
    def tail(self) -> "Tail[Any] | None": ...  # noqa: D102


P = TypeVar("P", bound=Piece)
P_co = TypeVar("P_co", bound=Piece, covariant=True)
T = TypeVar("T")
Both = tuple["Folded[Any, Any]", "Folded[Any, Any]"]


class Tail(Protocol[P_co]):
    """What was seen and not added yet, because it depends on what follows."""

    def rest(self) -> P_co:
        """Return the piece that it would be if nothing followed."""


class Cut(Protocol[P_co]):
    """Cuts a window into its piece, given the tail of the piece before; None when there is nothing new."""

    def __call__(self, before: Any, window: Window) -> P_co | None:
        """Return the window's piece."""


class Folded(msgspec.Struct, Generic[P, T], frozen=True, kw_only=True):
    """The pieces so far: their total and their time."""

    profile: Profile
    total: T
    tail: Tail[P] | None = None
    first_ns: int | None = None
    last_ns: int = 0
    covered_s: float = 0.0
    sound_s: float = 0.0


class FoldMetric(ABC, Generic[P, T]):
    """A metric that adds up pieces; a subclass says how to cut, what to start from, how to add and what to tell."""

    cut: Cut[P]
    needs: tuple[str, ...] = ()

    @abstractmethod
    def begin(self, profile: Profile) -> T:
        """Return the total of nothing."""

    @abstractmethod
    def add(self, total: T, piece: P, profile: Profile) -> T:
        """Return the total with a piece added, `total` left as it was."""

    @abstractmethod
    def tell(self, folded: Folded[P, T]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the values, NaN where they cannot be said, and notes for people."""

    def quality(self, folded: Folded[P, T]) -> float:
        """Return the share of the time that nothing is wrong with."""
        return min(1.0, folded.sound_s / folded.covered_s) if folded.covered_s else 1.0

    def start(self, profile: Profile) -> Folded[P, T]:
        """Return the state before any window."""
        return Folded(profile=profile, total=self.begin(profile))

    def update(self, state: Folded[P, T], window: Window) -> Folded[P, T]:
        """Return the state after `window`."""
        piece = window.once(self.cut, state.tail)
        return state if piece is None else self._with(state, piece)

    def finished(self, state: Folded[P, T]) -> Folded[P, T]:
        """Return the state as it is if nothing follows."""
        return state if state.tail is None else self._with(state, state.tail.rest())

    def value(self, state: Folded[P, T], *, from_ns: int | None = None, until_ns: int | None = None) -> MetricValue:
        """Return the value so far."""
        state = self.finished(state)
        values, notes = self.tell(state)
        return MetricValue(
            values=values,
            coverage=coverage_of(state, from_ns, until_ns),
            quality=self.quality(state),
            notes=notes,
        )

    def _with(self, state: Folded[P, T], piece: P) -> Folded[P, T]:
        return Folded(
            profile=state.profile,
            total=self.add(state.total, piece, state.profile),
            tail=piece.tail,
            first_ns=piece.first_ns if state.first_ns is None else state.first_ns,
            last_ns=piece.last_ns,
            covered_s=state.covered_s + piece.covered_s,
            sound_s=state.sound_s + piece.sound_s,
        )


def added_up(place: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the sum of the weights at each place 0..count − 1, or beyond if there are weights there."""
    return np.asarray(np.bincount(place, weights, count), np.float64)


def coverage_of(folded: Folded[Any, Any], from_ns: int | None, until_ns: int | None) -> float:
    """Return the share of the elapsed time that the pieces speak for."""
    if folded.first_ns is None:
        return 0.0
    start_ns = folded.first_ns if from_ns is None else min(from_ns, folded.first_ns)
    elapsed_s = (max(folded.last_ns, until_ns or 0) - start_ns) / NS_PER_S
    return min(1.0, folded.covered_s / elapsed_s) if elapsed_s > 0 else 0.0


class Fallback:
    """A metric from one of two sources: the first, unless it speaks for under half of the time of the second."""

    first: FoldMetric[Any, Any]
    second: FoldMetric[Any, Any]
    second_note: str

    def start(self, profile: Profile) -> Both:
        """Return the state before any window."""
        return self.first.start(profile), self.second.start(profile)

    def update(self, state: Both, window: Window) -> Both:
        """Return the state after `window`."""
        return self.first.update(state[0], window), self.second.update(state[1], window)

    def value(self, state: Both, *, from_ns: int | None = None, until_ns: int | None = None) -> MetricValue:
        """Return the value from the source that is used."""
        if state[1].covered_s and self.first.finished(state[0]).covered_s < 0.5 * state[1].covered_s:
            second = self.second.value(state[1], from_ns=from_ns, until_ns=until_ns)
            return replace(second, notes=(*second.notes, self.second_note))
        return self.first.value(state[0], from_ns=from_ns, until_ns=until_ns)
