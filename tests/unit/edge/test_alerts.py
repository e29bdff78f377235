"""Alert rules: hysteresis, dwell, cool-down; an alert never rests on old values."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline.alerts import VARIABLES, Change, RuleState, check_rules, evaluate, words
from edge.settings import AlertRule, default_rules
from shared.clock import NS_PER_S
from shared.errors import ConfigError

RULE = AlertRule(rule="r@1", variable="hr_percent_max", on=95.0, off=90.0, dwell_s=20.0, cool_down_s=60.0)


def play(values: Sequence[float | None], rule: AlertRule = RULE) -> list[tuple[int, bool]]:
    """Return (second, began) of each change over one value per second."""
    state, changes = RuleState(), []
    for second, value in enumerate(values):
        state, change = evaluate(rule, state, value, second * NS_PER_S)
        if change is not None:
            changes.append((second, change.began))
    return changes


def test_rule_when_the_value_stays_above_then_it_begins_after_its_dwell() -> None:
    """Rule: not before, not at a touch."""
    assert play([96.0] * 20) == []
    assert play([96.0] * 21) == [(20, True)]
    assert play([96.0] * 15 + [94.0] + [96.0] * 20) == []


def test_rule_when_the_value_falls_between_the_limits_then_it_holds() -> None:
    """Rule: hysteresis; only at `off` or below does it end."""
    begun = [96.0] * 21
    assert play(begun + [90.1] * 30) == [(20, True)]
    assert play([*begun, 90.1, 90.0]) == [(20, True), (22, False)]


def test_rule_when_it_ended_then_it_does_not_begin_again_before_its_cool_down() -> None:
    """Rule: a coach is told at most once per cool-down, and at once after it if the dwell is over."""
    changes = play([96.0] * 21 + [80.0] + [96.0] * 70)
    assert changes == [(20, True), (21, False), (81, True)]


def test_rule_when_the_value_is_missing_then_it_cannot_begin_and_an_active_one_ends() -> None:
    """Rule: what is late, lost or of bad quality raises nothing."""
    assert play(([96.0] * 10 + [None]) * 5) == []
    assert play([96.0] * 21 + [None]) == [(20, True), (21, False)]


@given(st.lists(st.one_of(st.none(), st.floats(80, 100)), max_size=200))
def test_rule_when_values_are_arbitrary_then_changes_alternate_and_keep_their_distance(
    values: list[float | None],
) -> None:
    """Rule: began, ended, began, ...; never two begins within the cool-down after an end; every begin was earned."""
    rule = msgspec.structs.replace(RULE, dwell_s=3.0, cool_down_s=10.0)
    changes = play(values, rule)
    assert [began for _, began in changes] == [i % 2 == 0 for i in range(len(changes))]
    for (ended, _), (began, _) in zip(changes[1::2], changes[2::2], strict=False):
        assert began - ended >= 10
    for second in (second for second, began in changes if began):
        assert all(value is not None and value >= rule.on for value in values[second - 3 : second + 1])


def test_words_when_shown_then_they_carry_the_evidence() -> None:
    """Rule: `why` is evidence in plain words."""
    assert words(RULE, Change(began=True, value=96.4, dwelt_s=20.2)) == "96 % of max for 20 s"


def test_rules_when_none_are_set_then_the_defaults_make_sense() -> None:
    """Rule: a gateway without rules in its settings has working ones, and every variable is used in words."""
    check_rules(default_rules())
    for variable in VARIABLES.values():
        assert variable.words.format(value=1.0, seconds=2.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"variable": "mood"}, "variable 'mood'"),
        ({"off": 95.0}, "must be below on"),
        ({"severity": "siren"}, "severity 'siren'"),
    ],
)
def test_rules_when_one_makes_no_sense_then_the_error_names_it(change: dict[str, object], problem: str) -> None:
    """Rule: a bad rule is refused at the start, not at the pitch."""
    with pytest.raises(ConfigError, match=problem) as caught:
        check_rules([msgspec.structs.replace(RULE, **change)])
    assert caught.value.path == "alerts.r@1"
