"""What the gateway counts of itself for `/metrics`: small, bounded, written by whoever does the work."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

COMMIT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UPLOAD_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
INFERENCE_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
Answer = Literal["stored", "duplicate", "conflict", "rejected", "too large", "refused", "busy", "no answer"]
"""How an upload ended: a receipt's status, 413, another answer that is no receipt, 429 or 5xx, or nobody."""


class Timing:
    """How long something took, counted in buckets; `bounds_s` are their upper ends, and one more takes the rest."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = tuple(bounds_s)
        self.counts = [0] * (len(self.bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one; a bound belongs to its bucket, as Prometheus has it (le)."""
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One queue at this moment; `dropped` counts since the start."""

    queue: str
    waiting: int
    capacity: int
    dropped: int


@dataclass(slots=True)
class JournalCounts:
    """What this run has written."""

    commits: int = 0
    readings: int = 0
    commit_ms: list[float] = field(default_factory=list)
    took: Timing = field(default_factory=lambda: Timing(COMMIT_BOUNDS_S))


@dataclass(slots=True)
class UploadCounts:
    """What this run has uploaded."""

    answers: Counter[Answer] = field(default_factory=Counter)
    sent_bytes: int = 0
    took: Timing = field(default_factory=lambda: Timing(UPLOAD_BOUNDS_S))

    def ended(self, answer: Answer, size_bytes: int, seconds: float) -> None:
        """Count one attempt of a body of `size_bytes`; only what got an answer says how long the cloud takes."""
        self.answers[answer] += 1
        self.sent_bytes += size_bytes
        if answer != "no answer":
            self.took.add(seconds)


@dataclass(slots=True)
class ReconcileCounts:
    """What this run has compared with the cloud: stream-hours that agreed, readings sent again, hours given up."""

    agreed: int = 0
    resent: int = 0
    given_up: int = 0


@dataclass(slots=True, kw_only=True)
class Measures:
    """What `/metrics` tells beside the health page; the owners of the parts hand in what they count."""

    queues: list[QueueState] = field(default_factory=list)
    withheld_frames: int = 0
    ble_dropped_frames: int = 0
    commit: Timing = field(default_factory=lambda: Timing(COMMIT_BOUNDS_S))
    uploads: UploadCounts = field(default_factory=UploadCounts)
    epoch_renewals: int = 0
    reconciled: ReconcileCounts = field(default_factory=ReconcileCounts)
    inference: dict[str, Timing] = field(default_factory=dict)
    inference_failures: dict[str, int] = field(default_factory=dict)
