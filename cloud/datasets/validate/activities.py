"""Activities of one athlete (FIT, TCX) held to the limits of their sport."""

from pathlib import Path

import numpy as np

from cloud.datasets.public.activities import Activity, is_activity, read_activities
from cloud.datasets.validate.limits import ACTIVITY_LIMITS
from cloud.datasets.validate.report import EXAMPLES, FileReport, Finding, ValidationReport


def holds_activities(path: Path) -> bool:
    """Tell whether this is such a file, or a folder with some and nothing else that is known."""
    return is_activity(path) if path.is_file() else any(is_activity(file) for file in path.rglob("*"))


def validate_activities(path: Path) -> ValidationReport:
    """Check every second of every activity; a row is a second since its start, the first being 1."""
    found = read_activities(path)
    files = [FileReport(file=name, rows=0, bad_rows=0, broken={"file": 1}) for name in found.refused]
    findings = [Finding(file=name, row=0, rule="file", what=why) for name, why in found.refused.items()]
    for activity in found.activities:
        out = _out_of_range(activity)
        seconds = [second for second, _ in out]
        counts = {"range": len(out)} if out else {}
        bad = len(set(seconds))
        files.append(FileReport(file=activity.file, rows=len(activity), bad_rows=bad, broken=counts))
        findings += [
            Finding(file=activity.file, row=second + 1, rule="range", what=what) for second, what in out[:EXAMPLES]
        ]
    return ValidationReport(path=str(path), layout="activities", files=tuple(files), findings=tuple(findings))


def _out_of_range(activity: Activity) -> list[tuple[int, str]]:
    """Return second and finding of each value outside its range, in order of time."""
    limits = ACTIVITY_LIMITS.get(activity.sport, ACTIVITY_LIMITS["unknown"])
    out = []
    for quantity, span in limits.items():
        values = getattr(activity, quantity)
        beyond = np.flatnonzero((values < span.low) | (values > span.high))
        out += [(int(second), f"{quantity} {values[second]:.6g}") for second in beyond]
    return sorted(out)
