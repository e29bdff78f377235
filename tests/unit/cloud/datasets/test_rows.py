from typing import Any

import numpy as np

from cloud.datasets.card import rows_digest
from cloud.datasets.rows import FEATURES, EffortRows, make_rows
from shared.clock import NS_PER_S

START_NS = 1_790_000_000 * NS_PER_S


def columns(*, athletes: int = 9, seconds: int = 40, sessions: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    count = athletes * seconds * sessions
    session = np.repeat(np.arange(sessions), athletes * seconds)
    return {
        "session": np.array([f"s{i}" for i in session]),
        "athlete": np.tile(np.repeat([f"a{i}" for i in range(athletes)], seconds), sessions),
        "time_ns": START_NS + np.tile(np.arange(seconds), athletes * sessions) * NS_PER_S + session * 10**13,
        "features": np.abs(rng.normal(size=(count, len(FEATURES)))).astype(np.float32),
        "hr_bpm": rng.uniform(60, 190, count),
        "coverage": np.ones(count),
    }


def shuffled(table: dict[str, Any], seed: int) -> dict[str, Any]:
    order = np.random.default_rng(seed).permutation(len(table["time_ns"]))
    return {name: column[order] for name, column in table.items()}


def test_digest_when_rows_come_in_another_order_or_twice_then_same() -> None:
    """A data set is its rows; order and repetition in the source do not matter."""
    table = columns()
    twice = {name: np.concatenate([column, column]) for name, column in table.items()}
    digests = {rows_digest(make_rows(**source)) for source in (table, shuffled(table, 1), shuffled(twice, 2))}
    assert len(digests) == 1


def test_digest_when_one_number_changes_then_differs() -> None:
    """Every label, feature, time and name counts."""
    first = rows_digest(make_rows(**columns()))
    for name in ("features", "hr_bpm", "time_ns"):
        table = columns()
        table[name].ravel()[5] += 1
        assert rows_digest(make_rows(**table)) != first
    table = columns()
    table["athlete"] = np.where(table["athlete"] == "a3", "b3", table["athlete"])
    assert rows_digest(make_rows(**table)) != first


def test_rows_when_label_or_history_is_missing_then_left_out() -> None:
    """Rows without a heart rate, with thin coverage or with a number that is none are not trained on."""
    table = columns()
    table["hr_bpm"][0] = np.nan
    table["coverage"][1] = 0.5
    table["features"][1, FEATURES.index("elapsed")] = 2.0
    table["features"][2, 4] = np.inf
    rows = make_rows(**table)
    assert len(rows) == len(table["time_ns"]) - 3
    assert np.isfinite(rows.features).all()


def test_split_when_many_athletes_then_later_time_and_whole_athletes_are_held_out() -> None:
    """Of every session the last quarter, and of 9 athletes one whole, so that both kinds of news are measured."""
    rows = make_rows(**columns())
    assert len(rows.held_out_athletes) == 1
    for session in ("s0", "s1"):
        of_session = rows.where(rows.session == session)
        training = of_session.where(~of_session.held_out)
        others = of_session.where(of_session.held_out & ~np.isin(of_session.athlete, rows.held_out_athletes))
        assert training.time_ns.max() < others.time_ns.min()
        assert not set(training.athlete) & set(rows.held_out_athletes)
        assert 0.7 < len(training) / (len(training) + len(others)) < 0.8


def test_split_when_few_athletes_then_only_time_is_held_out() -> None:
    """Below eight athletes each one is needed for training."""
    rows = make_rows(**columns(athletes=7))
    assert rows.held_out_athletes == ()
    assert rows.held_out.any()


def test_split_when_repeated_then_same_rows_are_held_out() -> None:
    """The split is a rule, not a draw."""

    def held_out(rows: EffortRows) -> list[Any]:
        return rows.where(rows.held_out).features.tolist()

    assert held_out(make_rows(**columns())) == held_out(make_rows(**shuffled(columns(), 9)))


def test_rows_when_history_is_thinly_covered_then_left_out() -> None:
    """A row counts from four fifths of its history on; how old the session is makes no difference."""
    table = columns(athletes=1, sessions=1)
    table["features"][:, FEATURES.index("elapsed")] = 1.0
    for coverage, kept in ((1.0, 40), (0.8, 40), (0.79, 0)):
        table["coverage"][:] = coverage
        assert len(make_rows(**table)) == kept
