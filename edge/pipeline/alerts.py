"""Alert rules with hysteresis, dwell and cool-down. Pure: time comes in as data."""

from dataclasses import dataclass, replace

from edge.messages import Cause
from edge.settings import AlertRule
from shared.alerts import Severity
from shared.clock import NS_PER_S
from shared.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What a rule can watch: the words for its evidence and the tile's part that it marks."""

    name: str
    cause: Cause
    words: str


VARIABLES = {
    variable.name: variable
    for variable in (
        Variable(name="hr_percent_max", cause="hr", words="{value:.0f} % of max for {seconds:.0f} s"),
        Variable(name="high_speed_m", cause="speed", words="{value:.0f} m at high speed"),
        Variable(
            name="effort_residual", cause="effort", words="Unusual for this athlete: {value:.1f} times the usual spread"
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """One rule on one athlete. `above_ns` is when the variable last rose over the limit and stayed there."""

    above_ns: int | None = None
    active_since_ns: int | None = None
    last_ended_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A rule began or ended to hold."""

    began: bool
    value: float
    dwelt_s: float


def check_rules(rules: list[AlertRule]) -> None:
    """Check that rules make sense.

    Raises: ConfigError naming the rule.
    """
    for rule in rules:
        where = f"alerts.{rule.rule}"
        if rule.variable not in VARIABLES:
            raise ConfigError(where, f"variable {rule.variable!r} is not one of {', '.join(VARIABLES)}")
        if rule.off >= rule.on:
            raise ConfigError(where, f"off ({rule.off:g}) must be below on ({rule.on:g})")
        if rule.severity not in {severity.value for severity in Severity}:
            raise ConfigError(where, f"severity {rule.severity!r} is not banner, badge or log")


def evaluate(rule: AlertRule, state: RuleState, value: float | None, now_ns: int) -> tuple[RuleState, Change | None]:
    """Return the rule's next state and what changed.

    `value` is None when it is late, lost or of bad quality: it cannot raise an alert, and an active one ends.
    """
    if state.active_since_ns is not None:
        if value is not None and value > rule.off:
            return state, None
        ended = RuleState(last_ended_ns=now_ns)
        return ended, Change(began=False, value=value or 0.0, dwelt_s=_seconds(state.active_since_ns, now_ns))
    if value is None or value < rule.on:
        return replace(state, above_ns=None), None
    above_ns = now_ns if state.above_ns is None else state.above_ns
    cooling = state.last_ended_ns is not None and _seconds(state.last_ended_ns, now_ns) < rule.cool_down_s
    if cooling or _seconds(above_ns, now_ns) < rule.dwell_s:
        return replace(state, above_ns=above_ns), None
    began = replace(state, above_ns=above_ns, active_since_ns=now_ns)
    return began, Change(began=True, value=value, dwelt_s=_seconds(above_ns, now_ns))


def words(rule: AlertRule, change: Change) -> str:
    """Return the evidence for people."""
    return VARIABLES[rule.variable].words.format(value=change.value, seconds=change.dwelt_s)


def _seconds(from_ns: int, to_ns: int) -> float:
    return (to_ns - from_ns) / NS_PER_S
