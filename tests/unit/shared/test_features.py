"""Model inputs: pinned schemas, the effort warm-up, the team's grid and mask."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import ModelIncompatible
from shared.features import athlete as effort
from shared.features.athlete import ATHLETE_EFFORT, SPEED_TAUS_S, metabolic_power
from shared.features.registry import FEATURE_SETS, feature_set
from shared.features.team import HISTORY, TeamHistory
from shared.ids import BALL, AthleteId
from shared.readings import Quality, Readings
from shared.windows import Windower
from tests.factories import ATHLETE, START_NS, positions, profile

# Changing what a feature means without a new version would let old models run on new inputs.
PINNED = {
    "athlete_effort@1": "5007953fb2b7275b08fcbba1bb05392739b6077c99ae458d27b30bf8d9c8848d",
    "field_graph@1": "b388273fb2ee62d9b48c348dba166f941d3599b64d49604fdd57a8deb6ba849d",
    "team_graph@1": "d759a19265c7b39f69fce0a01fdb181733a2dc0a419bb963805bfb7460528294",
    "activity_effort@1": "8e44bf31942b38c0a05076c89f95cbd40baeba984f26933842c7de0fd7c1be23",
    "game_outcome@1": "efd4bda63cf5f61824d6d881ad297b3e76db126df5650a5aa1ff7de99ddac31f",
    "play_success@1": "a857da437e958ba2cdb222b8d1a645b3fc8c67dc44d4600b0a5f5475c3ab37fd",
    "report_history@1": "527aff8c1c2b10d949242e9a66287bbd4e207110b845748ab15cf9f4268a1b30",
    "wellness@1": "53e36feb20c0687859cac2cc5e6d75283b8003ecce1c61057e4db28bbff8ce5c",
}
SECOND = AthleteId("a02")


def test_feature_sets_when_released_then_their_schema_never_changes() -> None:
    """Rule: a change of meaning is a new version; the hashes of released versions are pinned here."""
    assert {name: s.schema_hash for name, s in FEATURE_SETS.items()} == PINNED


def test_feature_set_when_a_card_means_something_else_then_it_is_refused() -> None:
    """Rule: a model and its inputs cannot drift apart."""
    assert feature_set("athlete_effort@1", PINNED["athlete_effort@1"]) is ATHLETE_EFFORT
    with pytest.raises(ModelIncompatible, match="has schema"):
        feature_set("athlete_effort@1", "0" * 64)
    with pytest.raises(ModelIncompatible, match="not known"):
        feature_set("athlete_effort@9", PINNED["athlete_effort@1"])


def effort_after(seconds: int, *, speed_mps: float = 3.0, rate_hz: int = 10) -> effort.EffortState:
    """Return the state after running at constant speed."""
    count = seconds * rate_hz
    x_m = np.arange(count) * speed_mps / rate_hz
    times = START_NS + np.arange(count) * (NS_PER_S // rate_hz)
    windower = Windower()
    state = effort.start(profile())
    block = positions(np.column_stack((x_m, np.zeros(count))), times_ns=times)
    for window in [*windower.push(block), *windower.flush()]:
        state = effort.update(state, window)
    return state


def test_effort_when_the_warm_up_is_not_over_then_there_is_no_row() -> None:
    """Rule: the long means still hold their start value during the first minute."""
    assert effort.row(effort.start(profile())) is None
    assert effort.row(effort_after(59)) is None
    assert effort.row(effort_after(60)) is not None


def test_effort_when_a_session_without_gaps_is_young_then_its_coverage_is_whole() -> None:
    """Coverage is measured against what the session's age allows: right after the warm-up it is 1, not 63 %."""
    row = effort.row(effort_after(61))
    assert row is not None
    assert row.coverage == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("rate_hz", [10, 1])
def test_effort_when_speed_is_constant_then_the_means_approach_it(rate_hz: int) -> None:
    """Rule: an exponential mean of a constant v from rest is v (1 - e^(-t/tau)), at any rate of positions."""
    row = effort.row(effort_after(300, rate_hz=rate_hz))
    assert row is not None
    named = dict(zip((name for name, _ in ATHLETE_EFFORT.features), row.values.tolist(), strict=True))
    for tau in SPEED_TAUS_S:
        assert named[f"speed_mean_{tau:.0f}s"] == pytest.approx(3.0 * -math.expm1(-300 / tau), rel=0.02)
    assert named["power_mean_15s"] == pytest.approx(metabolic_power(3.0, 0.0), rel=0.01)
    assert named["distance"] == pytest.approx(0.9, rel=0.01)
    assert (named["elapsed"], named["hr_rest"], named["hr_max"]) == (5.0, 60.0, 190.0)
    assert row.coverage > 0.95


def test_effort_when_positions_stop_then_means_and_coverage_fade() -> None:
    """Rule: silence is rest of unknown kind: the means fall and the row says that it rests on little."""
    state = effort_after(120)
    gone = Windower()
    later = positions([[360, 0], [360, 0]], times_ns=[START_NS + 240 * NS_PER_S, START_NS + 240_100 * NS_PER_MS])
    for window in [*gone.push(later), *gone.flush()]:
        state = effort.update(state, window)
    row = effort.row(state)
    assert row is not None
    assert row.values[0] < 0.01
    assert row.coverage < 0.2


def test_metabolic_power_when_running_evenly_then_it_is_the_published_value() -> None:
    """Rule: 3.6 J/(kg m) on the flat (Minetti 2002), KT = 1; the slope is held where the polynomial was fitted."""
    assert metabolic_power(3.0, 0.0) == pytest.approx(10.8)
    assert metabolic_power(5.0, 0.0) == pytest.approx(18.0)
    assert metabolic_power(1.0, -9.0) > 0


def track(
    athlete: AthleteId = ATHLETE, *, until_s: float = 2.0, rate_hz: int = 10, speed_mps: float = 4.0, y_m: float = 10.0
) -> Readings:
    """Return two seconds of a straight run that ends at `until_s`."""
    seconds = until_s - np.arange(2 * rate_hz)[::-1] / rate_hz
    times = START_NS + np.round(seconds * NS_PER_S).astype(np.int64)
    return positions(
        np.column_stack((seconds * speed_mps, np.full(len(seconds), y_m))), times_ns=times, athlete=athlete
    )


def test_team_when_rates_differ_then_everybody_is_on_one_grid() -> None:
    """Rule: 11 frames at 10 Hz, the newest last, at the newest time that all fresh players have reached."""
    team = TeamHistory({ATHLETE: 0, SECOND: 1, BALL: -1})
    team.push(track(rate_hz=25))
    team.push(track(SECOND, until_s=1.95, speed_mps=-2.0))
    graph = team.graph()
    assert graph is not None
    assert graph.time_ns == START_NS + 1950 * NS_PER_MS
    grid_s = 1.95 - np.arange(HISTORY)[::-1] / 10
    assert graph.history[0, :, 0] == pytest.approx(grid_s * 4.0, abs=1e-4)
    assert graph.history[1, :, 0] == pytest.approx(grid_s * -2.0, abs=1e-4)
    assert graph.team.tolist() == [0, 1, -1]
    assert graph.mask.tolist() == [1, 1, 0]
    assert (graph.history[2] == 0).all()


def test_team_when_a_player_fell_silent_then_only_he_is_masked() -> None:
    """Rule: a newest position over 350 ms old leaves the player out and holds nobody up."""
    team = TeamHistory({ATHLETE: 0, SECOND: 0})
    team.push(track())
    team.push(track(SECOND, until_s=1.6))
    graph = team.graph()
    assert graph is not None
    assert graph.mask.tolist() == [1, 0]
    assert graph.time_ns == START_NS + 2 * NS_PER_S


@pytest.mark.parametrize("off_s", [-2.0, -0.5, 0.5, 2.0])
def test_team_when_one_clock_is_wrong_then_only_its_player_is_masked(off_s: float) -> None:
    """Rule: a majority of right clocks wins; a tag ahead or behind never empties the map."""
    third = AthleteId("a03")
    team = TeamHistory({ATHLETE: 0, SECOND: 0, third: 1})
    team.push(track(until_s=5.0 + off_s))
    team.push(track(SECOND, until_s=5.0))
    team.push(track(third, until_s=4.95))
    graph = team.graph()
    assert graph is not None
    assert graph.mask.tolist() == [0, 1, 1]
    assert graph.time_ns == START_NS + 4950 * NS_PER_MS


def test_team_when_most_players_leave_then_those_who_play_on_are_shown() -> None:
    """Rule: a majority of silent tags outvotes nobody."""
    third = AthleteId("a03")
    team = TeamHistory({ATHLETE: 0, SECOND: 0, third: 1})
    team.push(track(until_s=2.0))
    team.push(track(SECOND, until_s=2.0))
    team.push(track(third, until_s=5.5))
    graph = team.graph()
    assert graph is not None
    assert graph.mask.tolist() == [0, 0, 1]


def test_team_when_positions_carry_other_flags_then_they_are_shown() -> None:
    """Rule: only an implausible position is left out; a corrected clock is a right one."""
    team, run = TeamHistory({ATHLETE: 0}), track()
    flags = int(Quality.CLOCK_CORRECTED | Quality.TRAILING_BYTES)
    team.push(positions(run.values[:, :2], times_ns=run.time_ns, quality=flags))
    assert team.graph() is not None


def test_team_when_a_history_is_short_or_has_a_hole_then_the_player_is_masked() -> None:
    """Rule: no path is invented over more than half a second, or before the first position."""
    block = track()
    for kept in (slice(-5, None), np.r_[0:12, 18:20]):
        team = TeamHistory({ATHLETE: 0})
        team.push(positions(block.values[kept, :2], times_ns=block.time_ns[kept]))
        assert team.graph() is None


def test_team_when_one_position_is_missing_then_it_is_interpolated() -> None:
    """Rule: one lost message does not lose the player."""
    block = track()
    kept = np.delete(np.arange(20), 15)
    team = TeamHistory({ATHLETE: 0})
    team.push(positions(block.values[kept, :2], times_ns=block.time_ns[kept]))
    graph = team.graph()
    assert graph is not None
    assert graph.history[0, :, 0] == pytest.approx(4.0 * (2.0 - np.arange(HISTORY)[::-1] / 10), abs=1e-4)


def test_team_when_a_block_is_out_of_order_then_the_path_is_not() -> None:
    """Rule: what a late message brings in the same block is put in its place."""
    block = track()
    order = np.r_[0:14, 15, 14, 17, 16, 19, 18]
    in_order, mixed = TeamHistory({ATHLETE: 0}), TeamHistory({ATHLETE: 0})
    in_order.push(block)
    mixed.push(positions(block.values[order, :2], times_ns=block.time_ns[order]))
    first, second = in_order.graph(), mixed.graph()
    assert first is not None
    assert second is not None
    assert np.array_equal(first.history, second.history)


def test_team_when_positions_are_flagged_strange_or_old_then_they_are_passed_over() -> None:
    """Rule: only good positions of players it knows, newer than what it has."""
    team = TeamHistory({ATHLETE: 0})
    team.push(track(SECOND))
    bad = track()
    team.push(positions(bad.values[:, :2], times_ns=bad.time_ns, quality=int(Quality.IMPLAUSIBLE)))
    assert team.graph() is None
    team.push(track())
    before = team.graph()
    team.push(track(until_s=1.5, y_m=60.0))
    after = team.graph()
    assert before is not None
    assert after is not None
    assert np.array_equal(before.history, after.history)


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_team_when_positions_come_anyhow_then_the_grid_is_what_numpy_interpolates(seed: int) -> None:
    """Rule: each present player's history is `np.interp` of his path to the last bit; whoever has a gap is masked."""
    rng = np.random.default_rng(seed)
    who = [AthleteId(f"a{n}") for n in range(int(rng.integers(1, 6)))]
    team, paths = TeamHistory(dict.fromkeys(who, 0)), {}
    for athlete in who:
        count, rate_hz = int(rng.integers(1, 90)), float(rng.choice([5, 10, 25, 50]))
        steps_ns = rng.integers(1, round(2e9 / rate_hz), count) + (rng.random(count) < 0.02) * 400_000_000
        times = START_NS - np.cumsum(steps_ns)[::-1]
        paths[athlete] = (times, rng.uniform(0, 100, (count, 2)))
        cuts = np.sort(rng.integers(0, count, 3))
        for rows in np.split(np.arange(count), cuts):
            if len(rows):
                team.push(positions(paths[athlete][1][rows], times_ns=times[rows], athlete=athlete))
    graph = team.graph()
    newest = {athlete: int(times[-1]) for athlete, (times, _) in paths.items()}
    for row, athlete in enumerate(who):
        if graph is None or not graph.mask[row]:
            continue
        times, xy_m = (column[-64:] for column in paths[athlete])
        since = (times - graph.time_ns).astype(np.float64)
        grid = np.arange(-10, 1) * 1e8
        wanted = np.stack([np.interp(grid, since, xy_m[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
        assert graph.history[row].tobytes() == wanted.tobytes()
        assert since[0] <= grid[0]
        assert newest[athlete] >= graph.time_ns
