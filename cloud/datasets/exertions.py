"""What a body did and its heart rate, second by second: FIT and TCX files, and the 1 Hz actigraphs of MMASH."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from cloud.datasets.files import check_columns, numbers, read_frame
from cloud.datasets.public.activities import Activity, read_activities
from shared.errors import ConfigError

Series = NDArray[np.float64]
ACTIGRAPH_FILE = "Actigraph.parquet"
ACTIGRAPH_COLUMNS = ("Vector Magnitude", "Steps", "HR", "day", "time")
_TABLES = (".parquet", ".csv")
_DAY_S = 86_400
_CLIMB_OVER_S = 15
"""Barometers step by 0.2 m; over a shorter time their steps would be climbs."""
_LONGEST_HOLD_S = 10
"""Devices record when something changes; a value older than that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exertion:
    """One recording on a grid of 1 s: `athlete` tells people apart as far as the source does; `start_ns`; `hr_bpm`
    float64[n], NaN where unknown; `movement` name of a movement -> float64[n], absent where it is not measured.
    """  # noqa: D205  the shapes are the contract

    athlete: str
    start_ns: int
    hr_bpm: Series
    movement: Mapping[str, Series]


def is_exertion(path: Path) -> bool:
    """Return whether a path is a folder or a file of activities, and no table of positions."""
    return path.is_dir() or path.name == ACTIGRAPH_FILE or path.suffix.lower() not in _TABLES


def read_exertions(paths: Sequence[Path]) -> list[Exertion]:
    """Return every recording with a heart rate below the paths, in order of path.

    Raises: ConfigError when there is none, naming the files that were refused and why.
    """
    found: list[Exertion] = []
    refused: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(str(path), "is not there")
        actigraphs = sorted(path.rglob(ACTIGRAPH_FILE)) if path.is_dir() else [path] * (path.name == ACTIGRAPH_FILE)
        found += [_actigraph(file) for file in actigraphs]
        if not actigraphs:
            read = read_activities(path)
            found += [exertion for activity in read.activities for exertion in _activity(activity)]
            refused |= read.refused
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in refused.items()) or "no file of a known kind"
        raise ConfigError(", ".join(map(str, paths)), f"no recording with a heart rate ({why})")
    return found


def _activity(activity: Activity) -> Iterator[Exertion]:
    if not np.isfinite(activity.hr_bpm).any():
        return
    measured: dict[str, NDArray[np.floating]] = {
        "speed": activity.speed_mps,
        "power": activity.power_w,
        "cadence": activity.cadence_rpm,
        "climb": _climb(activity.altitude_m),
    }
    yield Exertion(
        athlete=activity.device or Path(activity.file).name,
        start_ns=activity.start_ns,
        hr_bpm=_held(activity.hr_bpm),
        movement={name: _held(series) for name, series in measured.items() if np.isfinite(series).any()},
    )


def _actigraph(file: Path) -> Exertion:
    """Return a day of an actigraph; its days are numbered, so that it is laid on the first days of 1970.

    Raises: ConfigError naming the file and the column.
    """
    frame = read_frame(file)
    check_columns(file, frame, ACTIGRAPH_COLUMNS)
    frame = numbers(file, numbers(file, frame, ("day",), required=True), ("HR", "Vector Magnitude", "Steps"))
    clock = pd.to_timedelta(frame["time"].astype(str), errors="coerce")
    if clock.isna().any():
        raise ConfigError(str(file), f"row {int(clock.isna().argmax()) + 1}: time is no hours, minutes and seconds")
    second = clock.dt.total_seconds() + _DAY_S * (frame["day"] - 1)
    at_s = (second - second.iloc[0]).to_numpy(int)
    forward = at_s >= 0
    values = frame.loc[forward].assign(at_s=at_s[forward]).drop_duplicates("at_s").set_index("at_s")
    whole = values[["HR", "Vector Magnitude", "Steps"]].reindex(range(int(values.index.max()) + 1)).astype(float)
    return Exertion(
        athlete=file.parent.name,
        start_ns=0,
        hr_bpm=whole["HR"].to_numpy(),
        movement={"counts": whole["Vector Magnitude"].to_numpy(), "cadence": whole["Steps"].to_numpy() * 60.0},
    )


def _held(series: NDArray[np.floating]) -> Series:
    """Return the series with short gaps filled by the value before them."""
    return np.asarray(pd.Series(series, dtype=float).ffill(limit=_LONGEST_HOLD_S), np.float64)


def _climb(altitude_m: NDArray[np.floating]) -> Series:
    """Return metres climbed a second, smoothed; NaN where altitude is never known."""
    if not np.isfinite(altitude_m).any():
        return np.full(len(altitude_m), np.nan)
    whole = pd.Series(altitude_m, dtype=float).interpolate(limit_direction="both").to_numpy()
    # What has been climbed by now: the mean of the seconds before, never of those to come.
    smooth = uniform_filter1d(whole, _CLIMB_OVER_S, origin=(_CLIMB_OVER_S - 1) // 2, mode="nearest")
    climbed: Series = np.diff(smooth, prepend=smooth[0])
    return climbed
