"""The clock that tests move by hand, and how long callers wait before they try again."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import NS_PER_S, Clock, ManualClock, SystemClock, stamp
from shared.retry import Backoff
from tests.tools import settled


async def test_manual_clock_when_advanced_then_only_due_sleepers_wake() -> None:
    """Rule: a sleep ends when time has passed its end, and not before."""
    clock = ManualClock()
    short, long = asyncio.create_task(clock.sleep(1.0)), asyncio.create_task(clock.sleep(2.0))
    await settled()
    clock.advance(0.999)
    await settled()
    assert not short.done()
    clock.advance(0.001)
    await settled()
    assert short.done()
    assert not long.done()
    clock.advance(1.0)
    await long


async def test_manual_clock_when_a_sleeper_was_cancelled_then_advance_passes_over_it() -> None:
    """Rule: cancellation is the only stop signal and harms no other sleeper."""
    clock = ManualClock()
    gone, other = asyncio.create_task(clock.sleep(1.0)), asyncio.create_task(clock.sleep(1.0))
    await settled()
    gone.cancel()
    clock.advance(1.0)
    await other
    with pytest.raises(asyncio.CancelledError):
        await gone


def test_manual_clock_when_the_wall_clock_is_set_then_monotonic_time_stays() -> None:
    """Rule: durations survive a clock that somebody sets."""
    clock = ManualClock()
    clock.advance(5)
    clock.set_utc(7)
    assert (clock.utc_ns(), clock.mono_ns()) == (7, 5 * NS_PER_S)
    assert stamp(clock).mono_ns == 5 * NS_PER_S


async def test_system_clock_when_read_then_it_does_not_go_back() -> None:
    """Rule: each process has a boot of its own; monotonic time only grows."""
    clock: Clock = SystemClock()
    before = clock.mono_ns()
    await clock.sleep(0)
    assert clock.mono_ns() >= before
    assert clock.boot_id != SystemClock().boot_id
    assert clock.utc_ns() > 1_700_000_000 * NS_PER_S


@given(st.integers(0, 10_000), st.integers(), st.floats(0, 1000))
def test_backoff_when_asked_then_the_wait_is_bounded(attempt: int, seed: int, at_least_s: float) -> None:
    """Rule: at_least <= wait <= at_least + max(at_least, min(cap, base * 2^attempt)), for any attempt."""
    backoff = Backoff(base_s=0.5, cap_s=30.0)
    delay_s = backoff.delay_s(attempt, random.Random(seed), at_least_s=at_least_s)
    assert at_least_s <= delay_s <= at_least_s + max(at_least_s, min(30.0, 0.5 * 2.0 ** min(attempt, 32))) + 1e-9


def test_backoff_when_a_server_tells_many_the_same_wait_then_they_do_not_return_together() -> None:
    """Rule: a Retry-After is kept, and clients that heard the same one are spread over as long again."""
    rng = random.Random(1)
    delays = sorted(Backoff(base_s=0.5).delay_s(0, rng, at_least_s=10.0) for _ in range(1000))
    assert delays[0] >= 10.0
    assert delays[100] < 11.5
    assert delays[900] > 18.5


def test_backoff_when_many_clients_wait_then_they_are_spread_over_the_whole_range() -> None:
    """Rule: full jitter; clients that failed together do not come back together."""
    rng = random.Random(1)
    delays = sorted(Backoff(base_s=1.0, cap_s=8.0).delay_s(10, rng) for _ in range(1000))
    assert delays[100] < 1.2
    assert delays[900] > 6.8
