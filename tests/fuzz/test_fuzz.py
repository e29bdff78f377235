import random

import pytest

from shared.errors import DecodeError
from tests.fuzz.engine import Target, fuzz, mutated
from tests.fuzz.families import FAMILIES

SEED = 20_260
COUNT = 20_000


@pytest.mark.parametrize("family", FAMILIES)
def test_family_when_fuzzed_then_inputs_are_read_or_refused(family: str) -> None:
    """Rule: bytes from outside raise a refusal or nothing; `tests/fuzz/run.py` gives a family a million."""
    print("seed", SEED)
    targets = list(FAMILIES[family]())
    accepted = refused = 0
    for target in targets:
        outcome = fuzz(target, -(-COUNT // len(targets)), SEED)
        assert not outcome.failures, (target.name, outcome.failures[0][0].hex(), outcome.failures[0][1])
        assert outcome.accepted, f"{target.name}: nothing was ever accepted"
        accepted += outcome.accepted
        refused += outcome.refused.total()
    assert accepted + refused >= COUNT
    assert refused


def test_engine_when_a_parser_breaks_then_it_is_found() -> None:
    """Rule: a fuzzer that finds nothing must be able to."""

    def parse(body: bytes) -> None:
        if len(body) < 2:
            raise DecodeError("short")
        if body[0] == 0xFF:
            raise IndexError(body[0])

    outcome = fuzz(Target(name="broken", corpus=(b"\x01\x02",), parse=parse), 2_000, SEED)
    assert outcome.failures
    assert "IndexError" in outcome.failures[0][1]
    assert outcome.failures[0][0][0] == 0xFF
    assert outcome.refused["short"]


def test_engine_when_given_the_same_seed_then_inputs_are_the_same() -> None:
    """Rule: a printed seed is enough to see a failure again."""
    corpus = (b"\x01\x02\x03", b"abcdef")
    first, second = random.Random(SEED), random.Random(SEED)
    inputs = [mutated(corpus, first) for _ in range(500)]
    assert inputs == [mutated(corpus, second) for _ in range(500)]
    assert len(set(inputs)) > 300
