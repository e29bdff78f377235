"""What every feature set must do; the live ones are played through the code that the gateway uses for them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.features import athlete as effort
from shared.features.registry import FEATURE_SETS, LIVE_SETS
from shared.features.team import TeamHistory
from shared.readings import Readings, select
from shared.windows import Windower
from tests.conformance.recordings import LATENESS_NS, SECONDS, recording, whole, windows
from tests.factories import ATHLETE, START_NS, profile

Play = Callable[[list[Readings]], list[NDArray[np.float32]]]


def play_effort(arriving: list[Readings]) -> list[NDArray[np.float32]]:
    """Return the rows after each window of readings in order of arrival."""
    windower = Windower(lateness_ns=LATENESS_NS)
    closed = [window for block in arriving for window in windower.push(block)] + windower.flush()
    state, rows = effort.start(profile()), []
    for window in closed:
        state = effort.update(state, window)
        row = effort.row(state)
        if row is not None:
            assert row.set_id == effort.ATHLETE_EFFORT.set_id
            assert row.values.shape == (len(effort.ATHLETE_EFFORT.features),)
            rows.append(row.values)
    return rows


def play_team(arriving: list[Readings]) -> list[NDArray[np.float32]]:
    """Return the history at the end of the recording."""
    team = TeamHistory({ATHLETE: 0})
    for block in arriving:
        if block.stream == "position":
            team.push(block)
    graph = team.graph()
    return [] if graph is None else [graph.history, graph.mask]


PLAYS: dict[str, Play] = {"athlete_effort@1": play_effort, "team_graph@1": play_team}
live_set = pytest.mark.parametrize("set_id", [given.set_id for given in LIVE_SETS])


def in_order(blocks: list[Readings], size: int = 1) -> list[Readings]:
    """Return pieces of a recording by the time of their last reading."""
    pieces = [
        select(block, np.arange(start, min(start + size, len(block))))
        for block in blocks
        for start in range(0, len(block), size)
    ]
    return sorted(pieces, key=lambda piece: int(piece.time_ns[-1]))


def same(first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]) -> bool:
    """Return whether two plays gave the same."""
    return len(first) == len(second) and all(np.allclose(a, b, rtol=1e-6) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("set_id", FEATURE_SETS)
def test_feature_set_when_listed_then_it_is_tested_and_described(set_id: str) -> None:
    """Rule: a live set without a play here is not finished; names, units and note are there, names are unique."""
    assert set_id in PLAYS or set_id not in {live.set_id for live in LIVE_SETS}
    given = FEATURE_SETS[set_id]
    names = [name for name, _ in given.features]
    assert len(set(names)) == len(names)
    assert all(unit for _, unit in given.features)
    assert given.note
    assert len(given.schema_hash) == 64
    assert len(given.words) == len(names) or not given.words


def test_feature_set_when_it_is_live_and_of_rows_then_people_have_words_for_every_feature() -> None:
    """Rule: a tablet shows what a model leans on, and never a column's name."""
    shown = [given for given in LIVE_SETS if given.row_axes == 1]
    assert shown
    for given in shown:
        assert len(set(given.words)) == len(given.features)


@live_set
def test_feature_set_when_readings_come_in_blocks_then_it_is_the_same(set_id: str) -> None:
    """Rule: chunked = whole, for blocks of up to a second."""
    want = PLAYS[set_id](in_order(recording()))
    assert want
    for size in (3, 8):
        assert same(PLAYS[set_id](in_order(recording(), size)), want)


@live_set
def test_feature_set_when_readings_are_not_numbers_then_its_values_are(set_id: str) -> None:
    """Rule: NaN never reaches a model."""
    blocks = recording()
    for block in blocks:
        block.values[::3] = np.nan
    for values in PLAYS[set_id](in_order(blocks)):
        assert np.isfinite(values).all()


@live_set
def test_feature_set_when_there_is_a_long_gap_then_its_values_stay_numbers(set_id: str) -> None:
    """Rule: a gap fades or masks, it does not break."""
    kept = [
        select(b, (b.time_ns < START_NS + 20 * NS_PER_S) | (b.time_ns > START_NS + 80 * NS_PER_S)) for b in recording()
    ]
    for values in PLAYS[set_id](in_order(kept)):
        assert np.isfinite(values).all()


def test_effort_when_readings_are_late_or_come_twice_then_rows_are_the_same() -> None:
    """Rule: late within the bound = in order, duplicates = once; live, replay and pipeline agree."""
    singles = [select(block, np.array([i])) for block in recording() for i in range(len(block))]

    def rows(jitter_s: float, more: list[Readings]) -> list[NDArray[np.float32]]:
        state, got = effort.start(profile()), []
        for window in windows([*singles, *more], jitter_s=jitter_s):
            state = effort.update(state, window)
            row = effort.row(state)
            got += [] if row is None else [row.values]
        return got

    want = rows(0.0, [])
    assert len(want) == len(whole(recording())) - 59 == SECONDS - 59
    assert same(rows(0.9, []), want)
    assert same(rows(0.9, singles[::4]), want)
