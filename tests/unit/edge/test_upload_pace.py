"""The order and speed of uploads: shares, the cap and the waits after failures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sync.pace import ByteBudget, Pauses, Turns
from shared.clock import ManualClock
from shared.retry import Backoff


def test_turns_when_fresh_batches_never_end_then_every_fourth_is_an_older_one() -> None:
    """Rule: back-fill gets a quarter of the raw batches however much is new."""
    turns = Turns()
    seen = []
    for _ in range(12):
        seen.append(turns.is_backfills)
        turns.sent_raw()
    assert seen == [False, False, False, True] * 3


@given(st.lists(st.tuples(st.integers(1, 200_000), st.booleans()), min_size=1, max_size=60))
def test_budget_when_batches_of_any_size_go_out_then_the_average_keeps_to_the_cap(
    batches: list[tuple[int, bool]],
) -> None:
    """Rule: whoever waits as told sends no more than the cap's bytes, a bucket and one batch."""
    clock = ManualClock()
    budget = ByteBudget(10_000, clock)
    sent = 0
    for size_bytes, urgent in batches:
        while (wait_s := budget.wait_s(urgent=urgent)) > 0:
            clock.advance(wait_s + 1e-6)
        budget.spend(size_bytes)
        sent += size_bytes
        assert sent <= 10_000 * (clock.mono_ns() / 1e9 + 10) + size_bytes


def test_budget_when_it_runs_short_then_what_is_older_waits_first() -> None:
    """Rule: half of the bucket is kept for what is new; summaries spend without asking."""
    clock = ManualClock()
    budget = ByteBudget(10_000, clock)
    budget.spend(60_000)
    assert budget.wait_s(urgent=True) == 0
    assert budget.wait_s(urgent=False) == pytest.approx(1.0)
    budget.spend(60_000)
    assert budget.wait_s(urgent=True) == pytest.approx(2.0, abs=0.01)
    clock.advance(100)
    assert budget.wait_s(urgent=False) == 0


def test_budget_when_there_is_no_cap_then_nobody_waits() -> None:
    """Rule: without a cap nothing is held back."""
    budget = ByteBudget(None, ManualClock())
    budget.spend(10**9)
    assert budget.wait_s(urgent=False) == 0


def pauses(clock: ManualClock, *, spread_s: float = 3.0, seed: int = 1) -> Pauses:
    return Pauses(Backoff(base_s=1.0, cap_s=64.0), clock, random.Random(seed), spread_s=spread_s)


def test_pauses_when_several_connections_fail_together_then_the_wait_grows_once() -> None:
    """Rule: one outage is one attempt, however many batches were under way."""
    ceilings = []
    for together in (1, 4):
        most = 0.0
        for seed in range(200):
            clock = ManualClock()
            wait = pauses(clock, seed=seed)
            clock.advance(1)
            for _ in range(together):
                wait.failed(0)
            most = max(most, wait.left_s())
        ceilings.append(most)
    assert all(0.9 < ceiling <= 1.0 for ceiling in ceilings)


def test_pauses_when_failures_follow_each_other_then_waits_grow_until_one_gets_through() -> None:
    """Rule: the ceiling doubles with each attempt and starts anew after a success."""
    clock = ManualClock()
    wait = pauses(clock)
    longest = []
    for _ in range(8):
        clock.advance(wait.left_s() + 1)
        wait.failed(clock.mono_ns())
        longest.append(wait.left_s())
    assert max(longest) > 8
    clock.advance(wait.left_s() + 1)
    wait.succeeded()
    wait.failed(clock.mono_ns())
    assert wait.left_s() <= 1.0


def test_pauses_when_the_server_names_a_time_then_nobody_comes_before_it() -> None:
    """Rule: Retry-After is kept, also by a connection that failed beside another."""
    clock = ManualClock()
    wait = pauses(clock)
    clock.advance(1)
    wait.failed(0)
    wait.failed(0, at_least_s=20.0)
    assert wait.left_s() >= 20.0


def test_pauses_when_the_cloud_was_away_then_gateways_start_spread_out() -> None:
    """Rule: after an outage the start is delayed at random, but never longer than the outage was."""
    starts = []
    for seed in range(100):
        clock = ManualClock()
        wait = pauses(clock, seed=seed)
        wait.failed(clock.mono_ns())
        clock.advance(600)
        starts.append(wait.answered())
        assert wait.answered() == 0
    assert min(starts) < 0.3
    assert max(starts) > 2.7
    clock = ManualClock()
    short = pauses(clock)
    short.failed(0)
    clock.advance(0.01)
    assert short.answered() <= 0.01
