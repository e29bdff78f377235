"""Metrics on real recordings against independent implementations, with the reason where ours differ on purpose."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import fitdecode
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from shared.metrics.base import MetricValue, Profile
from shared.metrics.hrv import Pnn50, Rmssd, artefacts, variability
from shared.metrics.metabolic import metabolic_power
from shared.metrics.motion import Distance, MaxSpeed
from shared.metrics.power import NormalisedPower
from shared.metrics.reserve import WorkReserve
from shared.readings import Readings
from tests.conformance.recordings import played
from tests.factories import START_NS, positions, profile, readings
from tests.tools import OPEN_DATA, missing

_RESTRICTED = OPEN_DATA.parent / "restricted"
_RIDES = (
    "goldencheetah/HRV-Data.fit",
    "goldencheetah/20130716_202738.fit",
    "tormoder_fit/dcrainmaker/Edge810-Vector-2013-08-16-15-35-10.fit",
)
FloatArray = NDArray[np.float64]


def whole(metric: Any, block: Readings, who: Profile | None = None) -> MetricValue:
    """Return a metric's value over a recording of hours, in windows of a minute."""
    return played(metric, block, who=who, window_s=60)


def present(path: Path) -> Path:
    """Return a path that is there."""
    return path if path.exists() else missing(str(path.relative_to(OPEN_DATA.parent)))


def library(name: str) -> Any:
    """Import a library for cross-checks, its own warnings aside."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        missing(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _nights() -> list[FloatArray]:
    """Return an hour of RR intervals (ms) of each of five sleepers, as recorded."""
    hours = []
    for path in sorted(present(OPEN_DATA / "mmash").glob("user_*/RR.parquet"))[:5]:
        table = pq.read_table(path, columns=["ibi_s", "day", "time"]).to_pydict()
        chosen = [
            ibi for ibi, day, time in zip(table["ibi_s"], table["day"], table["time"], strict=True)
            if day == 2 and time.startswith("03:")
        ]  # fmt: skip
        if len(chosen) > 1000:
            hours.append(np.array(chosen) * 1000.0)
    assert hours
    return hours


def test_variability_when_a_night_is_real_then_it_equals_neurokit() -> None:
    """Rule: the same beats give the same RMSSD, SDNN and mean.

    pNN50 differs on purpose: neurokit2 divides by the number of intervals, we by the number of differences between
    them (Task Force 1996; hrv-analysis alike).
    """
    neurokit = library("neurokit2")
    for rr_ms in _nights():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = neurokit.hrv_time({"RRI": rr_ms, "RRI_Time": np.cumsum(rr_ms) / 1000.0})
        ours = variability(rr_ms)
        assert ours.rmssd_ms == pytest.approx(float(theirs["HRV_RMSSD"].iloc[0]), rel=1e-9)
        assert ours.sdnn_ms == pytest.approx(float(theirs["HRV_SDNN"].iloc[0]), rel=1e-9)
        assert ours.mean_ms == pytest.approx(float(theirs["HRV_MeanNN"].iloc[0]), rel=1e-9)
        over_50 = float(theirs["HRV_pNN50"].iloc[0]) * len(rr_ms)
        assert ours.pnn50_percent * (len(rr_ms) - 1) == pytest.approx(over_50, rel=1e-9)


def test_hrv_when_a_night_is_real_then_the_stream_says_what_its_clean_neighbours_say() -> None:
    """Rule: windows, tails and artefacts change nothing against one pass over the array; bad nights say nothing."""
    said = 0
    for rr_ms in _nights():
        times = START_NS + np.cumsum(rr_ms * 1e6).astype(np.int64)
        block = readings("rr", rr_ms[:, None], times_ns=times)
        bad = artefacts(rr_ms)
        for metric, figure in ((Rmssd(), "rmssd_ms"), (Pnn50(), "pnn50_percent")):
            value = whole(metric, block)
            assert value.quality == pytest.approx(1 - bad.mean())
            assert np.isnan(value.value) == (bad.mean() > 0.05)
            if not np.isnan(value.value):
                said += 1
                assert value.value == pytest.approx(getattr(variability(rr_ms, ~bad), figure), rel=1e-9)
    assert said


def _players(count: int) -> list[tuple[NDArray[np.int64], FloatArray]]:
    """Return times (ns) and positions (m) of players with body-worn sensors at 20 Hz."""
    table = pq.read_table(
        present(_RESTRICTED / "soccer_zxy_tromso" / "tracking.parquet"), columns=["t", "id", "x", "y"]
    )
    names = np.array(table["id"].to_pylist())
    times = np.array(table["t"].cast("int64"))
    xy_m = np.column_stack((table["x"], table["y"]))
    all_players = [(times[names == name], xy_m[names == name]) for name in sorted(set(names))]
    # Tags of those on the bench lie still.
    playing = [(when, where) for when, where in all_players if np.ptp(where, axis=0).max() > 20.0]
    assert len(playing) >= count
    return playing[:count]


def test_distance_when_a_match_is_real_then_it_is_floodlights_on_the_same_filtered_path() -> None:
    """Rule: distance and speed of the filtered path equal floodlight's.

    Floodlight filters nothing: on the path as measured it finds more distance, all of it from noise and from the
    corners that half a second of averaging cuts.
    """
    floodlight, core = library("floodlight.models.kinematics"), library("floodlight")
    for times, xy_m in _players(5):
        grid_ns = np.arange(-(-times[0] // 10**8) * 10**8, times[-1] + 1, 10**8)
        even = np.column_stack([np.interp(grid_ns - times[0], times - times[0], axis) for axis in xy_m.T])
        filtered = np.column_stack([np.convolve(axis, np.full(5, 0.2), mode="valid") for axis in even.T])
        distance, velocity = floodlight.DistanceModel(), floodlight.VelocityModel()
        distance.fit(core.XY(filtered, framerate=10))
        velocity.fit(core.XY(filtered, framerate=10))
        block = positions(even, times_ns=grid_ns)
        theirs = float(np.nansum(distance.distance_covered().property))
        ends_m = np.hypot(*(filtered[0] - even[0])) + np.hypot(*(filtered[-1] - even[-1]))
        ours = whole(Distance(), block).value
        # Theirs begins and ends two points further in; the rest is at most those ends.
        assert theirs <= ours <= theirs + 2 * ends_m + 0.2
        speeds = velocity.velocity().property[1:-1, 0]
        assert whole(MaxSpeed(), block).value == pytest.approx(float(speeds.max()), rel=1e-6)
        raw = floodlight.DistanceModel()
        raw.fit(core.XY(even, framerate=10))
        print(f"filtered {ours:.1f} m, as measured {float(np.nansum(raw.distance_covered().property)):.1f} m")
        assert 0.9 * float(np.nansum(raw.distance_covered().property)) < ours


def test_metabolic_power_when_a_match_is_real_then_it_equals_floodlights() -> None:
    """Rule: the same speeds and accelerations cost the same, walking and running, everywhere in a match."""
    kinetics, core = library("floodlight.models.kinetics"), library("floodlight")
    for times, xy_m in _players(5):
        grid_ns = np.arange(times[0], times[-1], 10**8)
        even = np.column_stack([np.interp(grid_ns - times[0], times - times[0], axis) for axis in xy_m.T])
        model = kinetics.MetabolicPowerModel()
        model.fit(core.XY(even, framerate=10))
        speed = np.hypot(*np.gradient(even, axis=0).T) * 10
        acceleration = np.gradient(speed) * 10
        theirs = model.metabolic_power().property[:, 0]
        np.testing.assert_allclose(metabolic_power(speed, acceleration), theirs, rtol=1e-9, atol=1e-9)


def _ride(name: str) -> FloatArray:
    """Return a ride's power once a second, as its records follow one another."""
    path = present(OPEN_DATA / "activities" / name)
    watts = []
    with fitdecode.FitReader(path) as reader:
        for frame in reader:
            if frame.frame_type == fitdecode.FIT_FRAME_DATA and frame.name == "record":
                value = frame.get_value("power", fallback=None)
                watts.append(np.nan if value is None else float(value))
    ride = np.array(watts)
    assert np.isfinite(ride).sum() > 400
    return ride[np.isfinite(ride)]


def _sweat() -> ModuleType:
    """Return sweat's W′ balance alone: its package needs modules that are not there."""
    package = importlib.util.find_spec("sweat")
    if package is None or package.origin is None:
        missing("sweat")
    path = Path(package.origin).parent / "pdm" / "w_prime_balance.py"
    spec = importlib.util.spec_from_file_location("sweat_w_prime_balance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", _RIDES)
def test_work_reserve_when_a_ride_is_real_then_it_equals_sweats_differential_form(name: str) -> None:
    """Rule: the differential form (Froncioni, Skiba, Clarke), now and at the least.

    Sweat's default, the integral form (Skiba 2012), differs on purpose: it needs the mean of the whole ride, which
    nobody has while riding.
    """
    watts = _ride(name)
    who = replace(profile(), critical_power_w=230.0, w_prime_j=18_000.0)
    theirs = _sweat().w_prime_balance_froncioni_skiba_clarke(watts, 230.0, 18_000.0).to_numpy()
    value = whole(WorkReserve(), readings("power", np.column_stack((watts, np.full(len(watts), np.nan)))), who)
    assert value.values[0] == pytest.approx(theirs[-1], rel=1e-9)
    assert value.values[1] == pytest.approx(min(theirs.min(), 18_000.0), rel=1e-9)


@pytest.mark.parametrize("name", _RIDES)
def test_normalised_power_when_a_ride_is_real_then_it_is_that_of_full_windows(name: str) -> None:
    """Rule: equal to a plain moving average over full windows; partial windows at the start (sweat) differ."""
    watts = _ride(name)
    rolling = np.convolve(watts, np.full(30, 1 / 30), mode="valid")
    value = whole(NormalisedPower(), readings("power", np.column_stack((watts, np.full(len(watts), np.nan)))))
    assert value.value == pytest.approx(float(np.mean(rolling**4) ** 0.25), rel=1e-9)
