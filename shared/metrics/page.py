"""The documentation page of all metrics, as text, made from what the metrics say of themselves."""

from shared.metrics.base import Described
from shared.metrics.catalogue import CATALOGUE

_HEADINGS = {
    "session": (
        "An athlete's session",
        (
            "Computed as readings come, shown on the tablet, and computed again by the same code in the pipeline "
            "(table `metrics`)."
        ),
    ),
    "whole session": (
        "A whole session, afterwards",
        "They need all readings at once; computed in the pipeline (table `metrics`).",
    ),
    "team": (
        "A team",
        (
            "Of everybody's positions at one moment: on the tablet once a second as they are now, in the pipeline "
            "the mean over the session (table `metrics_team`)."
        ),
    ),
    "history": (
        "Weeks",
        (
            "Of one load per athlete and day; computed in the pipeline (table `load_history`). They describe load. "
            "They say nothing about an athlete's body."
        ),
    ),
    "tests": (
        "Constants from tests",
        "Functions in `shared/metrics/fits.py`. What they return goes into the roster by hand.",
    ),
}

_INTRODUCTION = """\
# Metrics

Made by `python deployment/metrics_page.py` from the code; do not edit. A test keeps it in step.

## How to read a number

**Version.** `name@version` is a formula with its edge rules. A change of either is a new version beside the old one;
stored numbers keep the version that they were computed with.

**Coverage** (0–1) is the share of elapsed time that had data. A gap lowers it; nothing is interpolated across a gap
beyond what a metric's rules say. A sum with coverage 0.8 is the sum of what was measured, not an estimate of the whole.

**Quality** (0–1) is the share of that data that nothing is wrong with: no artefact, no corrected clock, no estimated
threshold. Of a team it is the share of its players that had a position.

**Not said.** A number that cannot be said is absent (NaN, null, –), never 0. Sums of nothing are 0 with coverage 0.

**One code.** Live, replayed and in the pipeline the same functions run; the pipeline also sees what came too late for
the tablet, so its numbers are final. Of history, a day between two trainings of the gateway's squad that are at most
eight days apart is a rest day, 0; of a longer break nothing is known. Who has no session on a day on which the squad
trained is unknown then, not at rest: ill, away, or without a sensor. A session whose load was measured for under half
of its time makes the athlete's day unknown too. Days are those of UTC.

## Where our numbers differ from other software, on purpose

| number | others | here | why |
|---|---|---|---|
| TRIMP (Banister) | from the mean heart rate of the session | summed per reading | the weight is exponential: the \
mean form reads low on changing effort |
| pNN50 | neurokit2 divides by the number of intervals | by the number of differences | N intervals have N − 1 \
differences |
| RR correction | neurokit2 cuts moved beats to whole samples and compares in seconds | fractions are kept | RMSSD \
differs by under 0.02 % on the reference series; ties between whole milliseconds fall otherwise on about 1 % of \
stretches of 300 beats |
| distance | floodlight measures the path as it came | the filtered path | noise adds metres that nobody ran |
| W′ balance | one number | differential live, integral afterwards, under two names | they differ by 12 % of W′ on one \
short ride; the integral needs the mean of the whole ride |
| normalised power | sweat averages windows under 30 s at the start | full windows only | 1 % on a short ride |
| workload ratio | missing days count as 0, bands from "low" to "high" | missing days are left out, no bands | a day \
without data is not a day of rest; the bands do not hold |
| monotony | population deviation, or a cap | deviation with n − 1; not said when all days are equal | Foster's |
| training load | k = 1/τ in some software | k = 1 − e^(−1/τ); the linear form under a name of its own | the exact \
response of first order |
| hull of players in one line | floodlight: none | area 0 | it spans nothing |
| pitch control | the influence radius is read off a figure in various ways | 4 m + 6 m·(d/18 m)³ up to 10 m | the \
paper gives no formula for it |
| accelerometer load | vendors' figures | the published formula, named *Accel load* | published readings of it differ \
tenfold |
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [_INTRODUCTION, _contents()]
    for kind, metrics in CATALOGUE.items():
        heading, note = _HEADINGS[kind]
        parts.append(f"## {heading}\n\n{note}\n")
        parts += [_section(metric) for metric in metrics]
    return "\n".join(parts)


def _contents() -> str:
    lines = [
        f"- {_HEADINGS[kind][0]}: " + ", ".join(f"[{m.title}](#{_anchor(m)})" for m in metrics)
        for kind, metrics in CATALOGUE.items()
    ]
    return "## All\n\n" + "\n".join(lines) + "\n"


def _anchor(metric: Described) -> str:
    """Return what Markdown renderers make of a section's heading."""
    return "".join(sign for sign in metric.metric_id.lower() if sign.isalnum() or sign in "_-")


def _section(metric: Described) -> str:
    rows = [
        ("title", metric.title),
        ("values", ", ".join(metric.labels)),
        ("unit", f"{metric.unit}, {metric.decimals} decimals"),
        ("formula", f"`{metric.formula}`"),
        ("rules", metric.rules),
    ]
    # Only session metrics name streams and profile fields, only history metrics a window.
    streams, needs = getattr(metric, "streams", ()), getattr(metric, "needs", ())
    if streams:
        rows.append(("reads", ", ".join(streams)))
    if needs:
        rows.append(("needs", ", ".join(needs)))
    window_days = getattr(metric, "window_days", None)
    if window_days:
        rows.append(("looks back", f"{window_days} days"))
    rows.append(("source", metric.source))
    lines = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows)
    return f"### {metric.metric_id}\n\n| | |\n|---|---|\n{lines}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
