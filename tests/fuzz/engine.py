"""Fuzzing with a seed: mutations of valid inputs, splices, truncations and noise, fast enough for a million."""

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.errors import DecodeError

_MOST_FAILURES = 10
_NOISE_BYTES = 64
# Values at which parsers turn: ends of ranges, marks for what is not available, lengths.
_EDGES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser: valid inputs to begin with, what reads an input, and the errors that refuse one.

    `make` makes inputs that keep the format, where there is something that knows it; half of them come from there.
    """

    name: str
    corpus: Sequence[bytes]
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (DecodeError,)
    make: Callable[[random.Random], bytes] | None = None


@dataclass(slots=True)
class Outcome:
    """What became of the inputs of one target; `failures` are inputs and tracebacks of any other error."""

    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[bytes, str]] = field(default_factory=list)


def fuzz(target: Target, count: int, seed: int) -> Outcome:
    """Give a target `count` inputs; the same seed gives the same ones."""
    rng = random.Random(f"{seed} {target.name}")
    outcome = Outcome()
    for _ in range(count):
        made = target.make is not None and rng.random() < 0.5
        body = target.make(rng) if made and target.make else mutated(target.corpus, rng)
        outcome.inputs += 1
        try:
            target.parse(body)
        except target.refusals as exc:
            outcome.refused[getattr(exc, "reason", str(exc))] += 1
        except Exception:  # noqa: BLE001 - whatever else comes is what is looked for
            outcome.failures.append((body, traceback.format_exc()))
            if len(outcome.failures) >= _MOST_FAILURES:
                break
        else:
            outcome.accepted += 1
    return outcome


def mutated(corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one input: noise, or a valid one with one to four changes."""
    if not corpus or rng.random() < 0.1:
        return rng.randbytes(rng.randrange(_NOISE_BYTES))
    body = bytearray(rng.choice(corpus))
    for _ in range(rng.randrange(1, 5)):
        _CHANGES[int(rng.random() * len(_CHANGES))](body, corpus, rng)
    return bytes(body)


def _flip(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    if body:
        body[int(rng.random() * len(body))] ^= 1 << int(rng.random() * 8)


def _replace(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    if body:
        body[int(rng.random() * len(body))] = int(rng.random() * 256)


def _edge(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    if body:
        body[int(rng.random() * len(body))] = rng.choice(_EDGES)


def _cut(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    del body[int(rng.random() * (len(body) + 1)) :]


def _extend(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    body += rng.randbytes(rng.randrange(1, 9))


def _take_out(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    start = int(rng.random() * (len(body) + 1))
    del body[start : start + rng.randrange(1, 5)]


def _double(body: bytearray, _corpus: Sequence[bytes], rng: random.Random) -> None:
    start = int(rng.random() * (len(body) + 1))
    body[start:start] = body[start : start + rng.randrange(1, 9)]


def _splice(body: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(corpus)
    body[int(rng.random() * (len(body) + 1)) :] = other[int(rng.random() * (len(other) + 1)) :]


_CHANGES = (_flip, _replace, _edge, _cut, _extend, _take_out, _double, _splice)
