"""The release gate: a model must be better than what one would say without it, everywhere that its card looks."""

from collections.abc import Mapping

from shared.errors import ModelIncompatible
from shared.model_card import ModelCard

PRIMARY_METRIC: Mapping[str, str] = {
    "activity_effort": "mae_bpm",
    "effort": "mae_bpm",
    "field_trajectory": "ade_4s_m",
    "injury": "brier",
    "play_success": "brier",
    "readiness": "mae_points",
    "strategy": "brier",
    "trajectory": "ade_2s_m",
}
"""The metric (lower is better) in which a model must beat its baseline on held-out data before it may be released."""
NEEDED_VIEWS: Mapping[str, tuple[str, ...]] = {"injury": ("", "new."), "readiness": ("", "new.")}
"""Views that a card must hold beside the plain one: models about people must hold for people they never saw."""
MAY_BE_CHANCE = frozenset({"effort"})
"""Models whose gain may lie within chance: a squad's first minutes decide little, and on a gateway what such a model
expects stands beside what is measured, so that a worse one is seen and taken back."""
LINEAR = "ridge_"
"""Before a metric's name among a card's baselines: a linear forecast's error, which must be beaten where it stands."""
_GAIN_LOW, _GAIN_HIGH = "gain_low", "gain_high"
_WORDS = {"": "held-out rows", "new.": "groups it never saw"}


def check_better(card: ModelCard) -> None:
    """Check that a model beats its baseline on later rows, on new groups and on every part that its card measures.

    Where the card gives a linear forecast's error, that must be beaten, too; where it gives an interval of the gain,
    all of it must be above zero, but for models in MAY_BE_CHANCE.
    Raises: ModelIncompatible saying where it does not, and by how much.
    """
    metric = primary_metric(card.name)
    measured = {name.removesuffix(metric) for name in card.metrics.keys() & card.baseline.keys() if _is(name, metric)}
    missing = [view for view in NEEDED_VIEWS.get(card.name, ("",)) if view not in measured]
    if missing:
        where = " and ".join(_WORDS[view] for view in missing)
        raise ModelIncompatible(
            f"{card.name} {card.version}: the card does not compare {metric} with a baseline on {where}"
        )
    failed = [found for view in sorted(measured) if (found := _failed(card, metric, view)) is not None]
    if failed:
        raise ModelIncompatible(
            f"{card.name} {card.version} is not better than its baseline {'; nor '.join(failed)}; "
            "it stays saved and is not released"
        )


def primary_metric(model: str) -> str:
    """Return the metric that decides about a model.

    Raises: ModelIncompatible when none is known for its name.
    """
    metric = PRIMARY_METRIC.get(model)
    if metric is None:
        raise ModelIncompatible(f"no primary metric is known for a model named {model}")
    return metric


def _is(name: str, metric: str) -> bool:
    """Return whether a metric's name is the primary one, bare or of a view."""
    return name == metric or name.endswith(f".{metric}")


def _failed(card: ModelCard, metric: str, view: str) -> str | None:
    """Return in words why a view does not pass, None when it does."""
    reached, baseline = card.metrics[view + metric], card.baseline[view + metric]
    low, high = card.metrics.get(view + _GAIN_LOW), card.metrics.get(view + _GAIN_HIGH)
    where = _WORDS.get(view, f"rows of {view.removesuffix('.')}")
    figures = f"{metric} {reached:.3g}, baseline {baseline:.3g}"
    if low is not None and high is not None:
        figures += f", 95 % interval of the gain {low:.2g} to {high:.2g}"
    if not reached < baseline:
        return f"on {where} ({figures})"
    linear = card.baseline.get(f"{view}{LINEAR}{metric}")
    if linear is not None and not reached < linear:
        return f"on {where}: a linear forecast has {linear:.3g} ({figures})"
    if low is None or low > 0.0 or card.name in MAY_BE_CHANCE:
        return None
    return f"on {where} beyond chance ({figures})"
