"""Recordings of sports watches and actigraphs as rows: movement up to a moment, an earlier heart rate, the one now."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from cloud.datasets.exertions import Exertion, Series
from cloud.datasets.task_rows import TaskRows, hold_out_later, make_task_rows
from shared.clock import NS_PER_S
from shared.features.activity import ACTIVITY_EFFORT, HORIZONS_S, MOVEMENT, TAUS_S
from shared.metrics.base import SPEED_EDGES_MPS

HELD_OUT = 0.25
SPLIT = f"held out: the last {HELD_OUT:.0%} of each recording; besides, each recording in turn by five folds"
WARM_UP_S = 120
"""Rows before that are not used: the long means still hold their start value."""
ROWS_OF_A_RECORDING = 300
"""At most, evenly spread: a day of an actigraph must not outweigh an hour's run."""
_LOWEST_BPM, _HIGHEST_BPM = 30.0, 230.0
_CHANGE_S = 30
_EARLIER_S = 60
_COUNT_EDGES = (1.0, 25.0, 75.0, 150.0, 250.0)
_POWER_EDGES = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0)


def activity_rows(exertions: Sequence[Exertion]) -> TaskRows:
    """Return rows for each horizon: bars are persistence and the recording's own mean so far at that effort.

    A heart rate outside 30..230 bpm is none. Raises: ConfigError when there is no usable row.
    """
    parts = [part for exertion in exertions for horizon in HORIZONS_S if (part := _rows(exertion, horizon))]
    columns: dict[str, Any] = (
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    )
    rows = make_task_rows(
        ACTIVITY_EFFORT,
        group=columns.get("group", np.array([], str)),
        time_ns=columns.get("time_ns", np.array([], np.int64)),
        features=columns.get("features", np.zeros((0, len(ACTIVITY_EFFORT.features)))),
        target=columns.get("target", np.array([], float)),
        bars={name: columns.get(name, np.array([], float)) for name in ("persistence", "own_band_mean")},
        slices={f"{horizon}s": columns.get("horizon", np.array([])) == horizon for horizon in HORIZONS_S},
    )
    return hold_out_later(rows, share=HELD_OUT, each_group=True)


def movement_features(exertion: Exertion, horizon_s: int) -> NDArray[np.float32]:
    """Return float32[n, F], one row a second; rows whose earlier heart rate is unknown hold NaN there."""
    count = len(exertion.hr_bpm)
    unknown = np.full(count, np.nan)
    movement = [_relative(name, exertion.movement.get(name, unknown)) for name, _ in MOVEMENT]
    means = [_fading_mean(series, tau) for series in movement for tau in TAUS_S]
    recent = [_mean_of_last(series, horizon_s) for series in movement]
    earlier = [_delayed(_mean_of_last(series, _EARLIER_S), horizon_s) for series in movement]
    known = _plausible(exertion.hr_bpm)
    before = _delayed(known, horizon_s)
    columns = [
        *means,
        *(now - then for now, then in zip(recent, earlier, strict=True)),
        np.arange(count) / 60.0,
        before,
        before - _delayed(known, horizon_s + _CHANGE_S),
        before - _delayed(_mean_so_far(known), horizon_s),
        _own_band_mean(known, _band(exertion), horizon_s) - before,
        np.full(count, float(horizon_s)),
    ]
    return np.column_stack(columns).astype(np.float32)


def _relative(name: str, series: Series) -> Series:
    """Return a movement as a multiple of its own mean so far: a fast rider's speed says what a slow one's does."""
    if name == "climb":
        return series
    usual = _mean_so_far(series)
    return np.where(usual > 0.0, series / np.where(usual > 0.0, usual, 1.0), np.where(np.isfinite(series), 0.0, np.nan))


def _rows(exertion: Exertion, horizon_s: int) -> dict[str, NDArray[Any]] | None:
    features, target = movement_features(exertion, horizon_s), _plausible(exertion.hr_bpm)
    persistence = _delayed(target, horizon_s)
    usable = np.isfinite(target) & np.isfinite(persistence)
    usable[:WARM_UP_S] = False
    picked = np.flatnonzero(usable)
    if not len(picked):
        return None
    picked = picked[np.unique(np.linspace(0, len(picked) - 1, min(len(picked), ROWS_OF_A_RECORDING)).astype(int))]
    band_mean = _own_band_mean(target, _band(exertion), horizon_s)
    return {
        "group": np.full(len(picked), exertion.athlete),
        "time_ns": exertion.start_ns + picked * NS_PER_S,
        "features": features[picked],
        "target": target[picked],
        "persistence": persistence[picked],
        "own_band_mean": band_mean[picked],
        "horizon": np.full(len(picked), horizon_s),
    }


def _plausible(hr_bpm: Series) -> Series:
    return np.where((hr_bpm >= _LOWEST_BPM) & (hr_bpm <= _HIGHEST_BPM), hr_bpm, np.nan)


def _fading_mean(series: Series, tau_s: float) -> Series:
    """Return the exponential mean at 1 Hz; a second that is unknown counts as rest, a series of them as unknown."""
    if not np.isfinite(series).any():
        return series
    share = -np.expm1(-1.0 / tau_s)
    found: Series = lfilter([share], [1.0, share - 1.0], np.nan_to_num(series))
    return found


def _mean_of_last(series: Series, seconds: int) -> Series:
    """Return the mean of the last `seconds` values, NaN where none is known."""
    known = np.isfinite(series)
    sums, counts = (np.concatenate([[0.0], np.cumsum(part)]) for part in (np.nan_to_num(series), known))
    first = np.maximum(np.arange(1, len(series) + 1) - seconds, 0)
    total, count = sums[1:] - sums[first], counts[1:] - counts[first]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _delayed(series: Series, seconds: int) -> Series:
    """Return the series as it was known `seconds` ago, NaN before there is any."""
    return np.concatenate([np.full(min(seconds, len(series)), np.nan), series[: max(0, len(series) - seconds)]])


def _mean_so_far(series: Series, chosen: NDArray[np.bool_] | None = None) -> Series:
    """Return at each second the mean of the known values up to it, of the chosen seconds only; NaN before any."""
    known = np.isfinite(series) if chosen is None else np.isfinite(series) & chosen
    count = np.cumsum(known)
    return np.where(count > 0, np.cumsum(np.where(known, series, 0.0)) / np.maximum(count, 1), np.nan)


def _own_band_mean(hr_bpm: Series, band: NDArray[np.int64], horizon_s: int) -> Series:
    """Return the mean heart rate known so far at the band of now; at one never met before, over all bands."""
    found = _delayed(_mean_so_far(hr_bpm), horizon_s)
    for value in np.unique(band):
        own = _delayed(_mean_so_far(hr_bpm, band == value), horizon_s)
        here = (band == value) & np.isfinite(own)
        found[here] = own[here]
    return found


def _band(exertion: Exertion) -> NDArray[np.int64]:
    """Return the effort band of each second: of speed where measured, else of power, else of an actigraph's counts."""
    edges = {"speed": SPEED_EDGES_MPS, "power": _POWER_EDGES, "counts": _COUNT_EDGES}
    name = next((name for name in edges if name in exertion.movement), None)
    if name is None:
        return np.zeros(len(exertion.hr_bpm), np.int64)
    return np.searchsorted(edges[name], _fading_mean(exertion.movement[name], TAUS_S[0]), side="right").astype(np.int64)
