"""How fast and in which order batches go out: the share of back-fill, the uplink's cap, the waits after failures."""

import random

from shared.clock import NS_PER_S, Clock
from shared.retry import Backoff

# However much is new, one raw batch in so many is an older one.
_BACKFILL_EVERY = 4
# The cap holds on average over this long.
_BURST_S = 10.0


class Turns:
    """Whose turn it is: every fourth raw batch tells of the past, even while fresh ones wait."""

    def __init__(self) -> None:
        self._raw = 0

    @property
    def is_backfills(self) -> bool:
        """Return whether the next raw batch is the oldest one."""
        return self._raw % _BACKFILL_EVERY == _BACKFILL_EVERY - 1

    def sent_raw(self) -> None:
        """Count one raw batch."""
        self._raw += 1


class ByteBudget:
    """A token bucket of bytes; it may go into debt by one batch, so that a batch larger than it still goes out."""

    def __init__(self, max_bytes_per_s: int | None, clock: Clock) -> None:
        self._rate = max_bytes_per_s
        self._clock = clock
        self._room = _BURST_S * (max_bytes_per_s or 0)
        self._level = self._room
        self._at_ns = clock.mono_ns()

    def wait_s(self, *, urgent: bool) -> float:
        """Return how long to wait before the next batch; what is not urgent leaves half of the bucket to what is."""
        if self._rate is None:
            return 0.0
        self._refill(self._rate)
        lacking = (1.0 if urgent else self._room / 2) - self._level
        return max(0.0, lacking / self._rate)

    def spend(self, size_bytes: int) -> None:
        """Count bytes that go out now, whether they waited or not."""
        if self._rate is not None:
            self._refill(self._rate)
            self._level -= size_bytes

    def _refill(self, rate: int) -> None:
        now_ns = self._clock.mono_ns()
        self._level = min(self._room, self._level + rate * (now_ns - self._at_ns) / NS_PER_S)
        self._at_ns = now_ns


class Pauses:
    """When to try again: waits that grow with each failed attempt, the same for all connections."""

    def __init__(self, backoff: Backoff, clock: Clock, rng: random.Random, *, spread_s: float) -> None:
        """`spread_s` bounds the random wait once the cloud answers again: many gateways do not start at once."""
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._spread_s = spread_s
        self._attempt = 0
        self._failed_ns: int | None = None
        """When the first of the failures since the last success was noted."""
        self._latest_ns = -1
        self._until_ns = 0

    def left_s(self) -> float:
        """Return how long to wait still."""
        return max(0, self._until_ns - self._clock.mono_ns()) / NS_PER_S

    def failed(self, begun_ns: int, *, at_least_s: float = 0.0) -> None:
        """Note that an attempt begun at `begun_ns` failed; of those under way together only one lengthens the wait."""
        now_ns = self._clock.mono_ns()
        self._failed_ns = now_ns if self._failed_ns is None else self._failed_ns
        if begun_ns <= self._latest_ns:
            self._until_ns = max(self._until_ns, now_ns + round(at_least_s * NS_PER_S))
            return
        self._latest_ns = now_ns
        wait_s = self._backoff.delay_s(self._attempt, self._rng, at_least_s=at_least_s)
        self._until_ns = now_ns + round(wait_s * NS_PER_S)
        self._attempt += 1

    def answered(self) -> float:
        """Note that the cloud answers, and return how long to wait before the backlog goes out.

        At random up to `spread_s`, but no longer than the cloud was away.
        """
        if self._failed_ns is None:
            return 0.0
        away_s = (self._clock.mono_ns() - self._failed_ns) / NS_PER_S
        self._failed_ns = None
        return self._rng.uniform(0.0, min(self._spread_s, away_s))

    def succeeded(self) -> None:
        """Note that a batch got through: the next failure begins with the shortest wait."""
        self._attempt = 0
