"""What an evaluation found: JSON for machines, a table for people."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cloud.evaluation.bootstrap import Value
from cloud.evaluation.displacement import Displacement

MODEL, MIXTURE = "model", "model_mixture"


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which file was measured."""

    file: str
    sha256: str
    name: str
    version: str
    feature_set: str


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What it was measured on; `known` groups (games, seasons, athletes) the model learnt from and are left out."""

    path: str
    layout: str
    digest: str
    groups: int
    known: int


class Regions(msgspec.Struct, frozen=True, kw_only=True):
    """Share of what happened at the horizon that lies in the region of one level.

    As the model states it; with sigma times a temperature; drawn by split conformal, null with too few games for the
    level. Temperature and conformal level are fitted on other games than they are judged on.
    """

    stated: Value
    tempered: Value | None
    conformal: Value | None


class OfRole(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts of the players of one role: how many, and by forecast their errors (model, ridge, linear control)."""

    forecasts: int
    errors: dict[str, Displacement]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts of one horizon, or (without one) of passes; NLL is per step, in nats with lengths in metres.

    A horizon beyond the model's own is not `covered` and empty; `beyond` passes were left out for that. `errors` and
    `nll` are by forecast, `skill` by baseline, `regions` and `mixture_regions` by level in per cent; `best_of_6` holds
    ADE and FDE of the best of six paths; `by_role` is empty where the recordings state no roles.
    """

    horizon_s: float | None
    covered: bool
    windows: int = 0
    forecasts: int = 0
    games: int = 0
    beyond: int = 0
    errors: dict[str, Displacement] = {}
    skill: dict[str, Value] = {}
    nll: dict[str, Value] = {}
    temperature: float | None = None
    regions: dict[str, Regions] = {}
    mixture_regions: dict[str, Regions] = {}
    best_of_6: dict[str, Value] = {}
    by_role: dict[str, OfRole] = {}


class ManOrZone(msgspec.Struct, frozen=True, kw_only=True):
    """How well the coverage is told, moment by moment and with the mean over a play.

    `by_second` is the balanced accuracy of the moments of each second since the play began, from "0".
    """

    moments: int
    plays: int
    accuracy: Value
    balanced_accuracy: Value
    ece: Value
    play_accuracy: Value
    play_balanced_accuracy: Value
    majority: float
    by_second: dict[str, Value] = {}


class Bin(msgspec.Struct, frozen=True):
    """Rows of about the same stated probability."""

    stated: float
    observed: float
    rows: int


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """A model on tables beside its bars: `scores` by who says it, then by metric; `gain` is the bar's mean row loss
    less the model's, by bar; `slices` the same for parts of the rows.
    """  # noqa: D205  one thought

    rows: int
    groups: int
    metric: str
    scores: dict[str, dict[str, Value]]
    gain: dict[str, Value]
    reliability: list[Bin] = []
    slices: dict[str, "Scores"] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation; lengths in `unit`; `basis` says what baselines were fitted on, or which rows were measured."""

    protocol: str
    model: ModelFacts
    data: DataFacts
    unit: str
    basis: str
    horizons: list[Measured] = []
    man_or_zone: ManOrZone | None = None
    scores: Scores | None = None


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def table(report: Report) -> str:
    """Return a report as text."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    model, data = report.model, report.data
    yield f"{model.name} {model.version} ({model.feature_set}, {model.sha256[:12]}) by protocol {report.protocol}"
    left_out = f", {data.known} known to the model left out" if data.known else ""
    yield f"on {data.path} ({data.layout}, {data.digest[:12]}): {data.groups} groups measured{left_out}"
    yield f"{report.basis}; 95 % intervals over resampled groups"
    for measured in report.horizons:
        yield from _horizon(measured, report.unit)
    if report.man_or_zone is not None:
        yield from _man_or_zone(report.man_or_zone)
    if report.scores is not None:
        yield from _scores(report.scores, "all rows")
        for name, part in report.scores.slices.items():
            yield from _scores(part, name)


def _horizon(measured: Measured, unit: str) -> Iterator[str]:
    title = "passes in the air" if measured.horizon_s is None else f"{measured.horizon_s:g} s ahead"
    if not measured.covered:
        yield f"\n{title}: beyond the model's horizon"
        return
    beyond = f", {measured.beyond} beyond the model's horizon left out" if measured.beyond else ""
    yield f"\n{title}: {measured.forecasts} forecasts from {measured.windows} windows of {measured.games} games{beyond}"
    yield f"  {'':18}{'ADE ' + unit:>24}{'FDE ' + unit:>24}{'RMSE ' + unit:>24}{'miss 2 yd':>10}{'NLL':>8}"
    for name, errors in measured.errors.items():
        nll = f"{measured.nll[name].value:8.2f}" if name in measured.nll else f"{'':8}"
        three = "".join(f"{text(value):>24}" for value in (errors.ade, errors.fde, errors.rmse))
        yield f"  {name:18}{three}{errors.miss_2yd.value:10.3f}{nll}"
    yield "  ADE below " + ", ".join(f"{name} {text(value, 1, 100)} %" for name, value in measured.skill.items())
    for label, regions in (("regions", measured.regions), ("mixture", measured.mixture_regions)):
        if regions:
            yield f"  {label:18}" + "   ".join(f"{level} %: {_region(found)}" for level, found in regions.items())
    if measured.regions:
        factor = "-" if measured.temperature is None else f"{measured.temperature:.2f}"
        yield f"  {'':18}stated / temperature {factor} / conformal"
    if measured.best_of_6:
        best = ", ".join(f"{name} {text(value)} {unit}" for name, value in measured.best_of_6.items())
        yield f"  best of 6 paths   {best}; NLL of the mixture {text(measured.nll[MIXTURE])}"
    if measured.by_role:
        yield from _roles(measured.by_role)


def _roles(by_role: dict[str, OfRole]) -> Iterator[str]:
    names = list(next(iter(by_role.values())).errors)
    yield f"  {'ADE / FDE by role':18}{'forecasts':>10}" + "".join(f"{name:>32}" for name in names)
    for role, found in by_role.items():
        pairs = (f"{text(errors.ade)} / {errors.fde.value:.3f}" for errors in found.errors.values())
        yield f"  {role:18}{found.forecasts:>10}" + "".join(f"{pair:>32}" for pair in pairs)


def _region(found: Regions) -> str:
    three = (found.stated, found.tempered, found.conformal)
    return "/".join("-" if value is None else f"{100 * value.value:.1f}" for value in three)


def _man_or_zone(found: ManOrZone) -> Iterator[str]:
    yield f"\nman or zone: {found.moments} moments of {found.plays} plays (the commoner one: {found.majority:.3f})"
    yield (
        f"  moment by moment: accuracy {text(found.accuracy)}, balanced {text(found.balanced_accuracy)}, "
        f"ECE {text(found.ece)}"
    )
    yield f"  by play: accuracy {text(found.play_accuracy)}, balanced {text(found.play_balanced_accuracy)}"
    seconds = ", ".join(f"{second} s {text(value)}" for second, value in found.by_second.items())
    yield f"  balanced by seconds since the play began: {seconds}"


def _scores(found: Scores, title: str) -> Iterator[str]:
    yield f"\n{title}: {found.rows} rows of {found.groups} groups"
    names = list(found.scores[MODEL])
    yield f"  {'':26}" + "".join(f"{name:>24}" for name in names)
    for who, values in found.scores.items():
        yield f"  {who:26}" + "".join(f"{text(values[name]):>24}" for name in names)
    yield f"  {found.metric} loss below " + ", ".join(f"{bar} {text(gain, 4)}" for bar, gain in found.gain.items())


def text(value: Value, digits: int = 3, scale: float = 1.0) -> str:
    """Return a value with its interval, as people read it."""
    if value.low is None or value.high is None:
        return f"{value.value * scale:.{digits}f}"
    low, high = value.low * scale, value.high * scale
    return f"{value.value * scale:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"
