"""Decides what happens to a batch. Pure: what the ledger knows and what came in, out comes a verdict."""

from dataclasses import dataclass
from enum import StrEnum

from shared.batch import WRONG_DIGEST, BatchHeader


class Verdict(StrEnum):
    """What to do with a batch; the values are those of `Receipt.status`."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


HTTP_STATUS: dict[Verdict, int] = {
    Verdict.STORED: 201,
    Verdict.DUPLICATE: 200,
    Verdict.CONFLICT: 409,
    Verdict.REJECTED: 422,
}

OTHER_BYTES = "other bytes are stored under this id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger holds under a batch's id."""

    sha256: str
    count: int
    is_lost: bool = False
    """Its object was found missing or damaged: the same bytes may come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict, the readings that count as accepted, the reason of a refusal, and whether the bytes are kept aside."""

    verdict: Verdict
    accepted: int = 0
    problem: str | None = None
    keep_aside: bool = False


def decide(header: BatchHeader, *, body_sha256: str, content_problem: str | None, known: Known | None) -> Decision:
    """Return what to do with a batch whose body hashes to `body_sha256`.

    Bytes that are not those announced are rejected before anything else is looked at: they were damaged on the way and
    may come right the next time. A known id is final: the same bytes are a duplicate and count as accepted, others are
    a conflict whatever they hold. Only the same bytes of a batch whose object was lost are stored once more.
    """
    if body_sha256 != header.sha256:
        return Decision(verdict=Verdict.REJECTED, problem=WRONG_DIGEST)
    if known is not None:
        if known.sha256 != body_sha256:
            return Decision(verdict=Verdict.CONFLICT, problem=OTHER_BYTES, keep_aside=True)
        if not known.is_lost:
            return Decision(verdict=Verdict.DUPLICATE, accepted=known.count)
    if content_problem is not None:
        return Decision(verdict=Verdict.REJECTED, problem=content_problem, keep_aside=True)
    return Decision(verdict=Verdict.STORED, accepted=header.count)
