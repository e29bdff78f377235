from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.registry.gate import check_better
from shared.errors import ModelIncompatible
from shared.model_card import ModelCard, read_card


@pytest.fixture
def card(trained: Callable[..., Path]) -> Callable[..., ModelCard]:
    """Make the card of a readiness model that is better everywhere, but for what is given."""
    made = read_card(trained() / "card.json")
    good = {
        "metrics": {"mae_points": 0.7, "gain_low": 0.02, "gain_high": 0.1, "new.mae_points": 0.7, "new.gain_low": 0.02},
        "baseline": {"mae_points": 0.8, "new.mae_points": 0.8},
    }

    def make(name: str = "readiness", **given: dict[str, float]) -> ModelCard:
        parts: dict[str, Any] = {part: {**good[part], **given.get(part, {})} for part in good}
        return msgspec.structs.replace(made, name=name, **parts)

    return make


def test_gate_when_better_on_later_rows_and_new_groups_then_passes(card: Callable[..., ModelCard]) -> None:
    """A gain whose whole interval is above zero, in every view, is a gain."""
    check_better(card())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"gain_low": -0.001},
            r"on held-out rows beyond chance \(mae_points 0.7, baseline 0.8, 95 % interval of the gain -0.001 to",
        ),
        ({"mae_points": 0.8}, "on held-out rows"),
        ({"mae_points": float("nan")}, "on held-out rows"),
        ({"new.mae_points": 0.9}, r"on groups it never saw \(mae_points 0.9, baseline 0.8\)"),
        ({"new.gain_low": 0.0}, "on groups it never saw"),
        ({"mae_points": 0.9, "new.mae_points": 0.9}, "held-out rows .*; nor on groups it never saw"),
    ],
)
def test_gate_when_one_view_fails_then_refuses_and_says_which(
    card: Callable[..., ModelCard], given: dict[str, float], why: str
) -> None:
    """Out of time and out of group both count, and a gain that could be chance is none."""
    with pytest.raises(ModelIncompatible, match=why):
        check_better(card(metrics=given))


def test_gate_when_a_part_of_the_rows_is_worse_then_refuses(card: Callable[..., ModelCard]) -> None:
    """A model that is good on the whole and bad at one horizon is not released for that horizon either."""
    worse = card(metrics={"10s.mae_points": 0.9}, baseline={"10s.mae_points": 0.8})
    with pytest.raises(ModelIncompatible, match=r"on rows of 10s \("):
        check_better(worse)


def test_gate_when_people_are_new_and_nobody_looked_then_refuses(card: Callable[..., ModelCard]) -> None:
    """A model about people whose card is silent about people it never saw is not released."""
    full = card()
    silent = msgspec.structs.replace(full, baseline={"mae_points": 0.8})
    with pytest.raises(ModelIncompatible, match="does not compare mae_points with a baseline on groups it never saw"):
        check_better(silent)


def test_gate_when_effort_has_minutes_of_data_then_a_gain_within_chance_passes_and_none_does_not(
    card: Callable[..., ModelCard],
) -> None:
    """Retrained on site from little data it must be better, not yet surely so."""
    effort = {"metrics": {"mae_bpm": 3.2, "gain_low": -0.8, "gain_high": 3.1}, "baseline": {"mae_bpm": 4.6}}
    check_better(card("effort", **effort))
    with pytest.raises(ModelIncompatible, match="on held-out rows"):
        check_better(card("effort", metrics={**effort["metrics"], "mae_bpm": 4.7}, baseline=effort["baseline"]))


def test_gate_when_a_linear_forecast_is_as_good_then_refuses(card: Callable[..., ModelCard]) -> None:
    """To go straight on is a weak yardstick of movement: where the card knows a linear forecast, that counts, too."""
    straight = {"ade_2s_m": 1.2, "ridge_ade_2s_m": 0.7}
    check_better(card("trajectory", metrics={"ade_2s_m": 0.6}, baseline=straight))
    with pytest.raises(ModelIncompatible, match=r"a linear forecast has 0\.7 \(ade_2s_m 0\.7, baseline 1\.2"):
        check_better(card("trajectory", metrics={"ade_2s_m": 0.7}, baseline=straight))
