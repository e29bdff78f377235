import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from firmware_sim.devices.position_tag import encode_position
from firmware_sim.faults import FaultRates, SensorFaults, Verdict, parse_faults
from shared.errors import ConfigError


def faults(rates: FaultRates, seed: int = 1, sensor: str = "tag-01", period_s: float = 0.1) -> SensorFaults:
    """Build one sensor's faults."""
    return SensorFaults(rates, seed=seed, sensor=sensor, period_s=period_s)


def test_faults_when_none_is_asked_for_then_nothing_happens() -> None:
    """Rule: faults come on request only."""
    sensor = faults(FaultRates())
    assert {sensor.judge(k / 10) for k in range(5000)} == {Verdict()}
    assert sensor.drifted_ns(10**18, 10**12) == 10**18


def test_faults_when_rates_are_given_then_frames_are_hit_at_those_rates() -> None:
    """Rule: duplicate and corrupt are per frame."""
    sensor = faults(FaultRates(duplicate=0.05, corrupt=0.02))
    verdicts = [sensor.judge(k / 10) for k in range(20_000)]
    assert sum(v.duplicate for v in verdicts) == pytest.approx(1000, rel=0.15)
    assert sum(v.corrupt for v in verdicts) == pytest.approx(400, rel=0.2)


def test_dropout_when_it_starts_then_the_sensor_is_silent_for_seconds() -> None:
    """Rule: a drop-out lasts 1-6 s and starts at its rate per second."""
    sensor = faults(FaultRates(dropout=0.02))
    silent = [sensor.judge(k / 10).silent for k in range(100_000)]
    runs = "".join("x" if s else "." for s in silent).strip(".").split(".")
    lengths_s = [len(run) / 10 for run in runs if run]
    assert min(lengths_s) >= 1.0
    assert max(lengths_s) <= 12.1  # two in a row
    assert len(lengths_s) == pytest.approx(0.02 * 10_000 / (1 + 0.02 * 3.5), rel=0.2)


def test_drift_when_asked_for_then_the_clock_runs_off_within_the_bound() -> None:
    """Rule: each tag's clock error grows linearly, by at most drift_ppm."""
    sensor = faults(FaultRates(drift_ppm=40.0))
    hour_ns = 3600 * 10**9
    error_ns = sensor.drifted_ns(hour_ns, hour_ns) - hour_ns
    assert 0 < abs(error_ns) <= 40e-6 * hour_ns
    assert sensor.drifted_ns(2 * hour_ns, 2 * hour_ns) - 2 * hour_ns == pytest.approx(2 * error_ns, abs=2)


def test_faults_when_the_seed_is_the_same_then_they_hit_the_same_frames() -> None:
    """Rule: seeded per sensor; another sensor has another history."""
    rates = FaultRates(duplicate=0.1, dropout=0.05)
    first, second, other = faults(rates), faults(rates), faults(rates, sensor="tag-02")
    histories = [[sensor.judge(k / 10) for k in range(500)] for sensor in (first, second, other)]
    assert histories[0] == histories[1] != histories[2]


@given(seed=st.integers(0, 10_000))
def test_corruption_when_a_position_is_hit_then_it_is_no_longer_json_text(seed: int) -> None:
    """Rule: a damaged position can be told from a good one: it is not UTF-8 JSON."""
    body = encode_position(boot="0a1b2c3d", n=1, t_ns=2, x_mm=3, y_mm=4, quality=99)
    damaged = faults(FaultRates(corrupt=1.0), seed=seed).corrupt(body)
    with pytest.raises(ValueError, match=r".*"):
        json.loads(damaged.decode("utf-8"))


def test_corruption_when_a_heart_rate_is_hit_then_the_rate_is_missing() -> None:
    """Rule: a damaged measurement lacks a declared field."""
    body = encode_heart_rate_measurement(150, contact=True, rr_1024=[400])
    assert faults(FaultRates(corrupt=1.0)).corrupt(body) == body[:1]


@pytest.mark.parametrize("text", ["flood=1", "duplicate", "duplicate=x", "duplicate=1.5", "dropout=-1", "corrupt=nan"])
def test_parse_faults_when_wrong_then_config_error_says_what(text: str) -> None:
    """Rule: unknown names list the known ones; wrong numbers name themselves."""
    with pytest.raises(ConfigError, match="drift_ppm" if text == "flood=1" else text.partition("=")[0]):
        parse_faults([text])


def test_parse_faults_when_right_then_rates_are_read() -> None:
    """Rule: NAME=NUMBER, repeatable."""
    assert parse_faults(["duplicate=0.01", "drift_ppm=40"]) == FaultRates(duplicate=0.01, drift_ppm=40.0)
