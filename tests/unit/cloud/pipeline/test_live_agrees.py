"""A session with every stream, shown live in windows of a second and derived in the cloud: the same numbers."""

from dataclasses import replace

import numpy as np
import pytest

from cloud.pipeline.features import derive
from shared.batch import ProfileSummary, profile_of
from shared.clock import NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.metrics.registry import METRICS, MetricTracker
from shared.parquet_codec import decode_parquet, encode_parquet
from shared.quantities import STREAMS
from shared.readings import Readings, select
from shared.resolution import kept_time
from shared.windows import Windower

ATHLETE = AthleteId("a1")
KNOWN = ProfileSummary(
    athlete="a1", team=0, sex="m", hr_rest_bpm=55, hr_max_bpm=195, vt1_bpm=140, vt2_bpm=165, mass_kg=75,
    critical_power_w=230, w_prime_j=20_000, ftp_w=240, critical_speed_mps=4, d_prime_m=200,
)  # fmt: skip
DURATION_S = 1320
RESOLUTION_NS = 100_000_000


def session(rng: np.random.Generator) -> list[Readings]:
    """Return all streams with jitter, gaps, missing values and flags; two straps that take turns, one of them late."""
    start_ns = 1_790_000_000 * NS_PER_S + int(rng.integers(NS_PER_S))
    blocks = [_block(rng, name, start_ns) for name in STREAMS if name not in ("exertion", "battery")]
    strap = next(block for block in blocks if block.stream == "heart_rate")
    second = replace(strap, sensor=SensorId("strap-2"), time_ns=strap.time_ns + 300_000_000, values=strap.values + 3)
    hole = (strap.time_ns < start_ns + 900 * NS_PER_S) | (strap.time_ns > start_ns + 930 * NS_PER_S)
    blocks = [select(block, hole) if block is strap else block for block in blocks]
    answer = _rows(rng, "exertion", np.array([start_ns + DURATION_S * NS_PER_S]), np.array([[7.0]]))
    return [*blocks, second, answer]


def _block(rng: np.random.Generator, stream: str, start_ns: int) -> Readings:
    rate_hz = STREAMS[stream].rate_hz
    seconds = np.arange(int(DURATION_S * rate_hz)) / rate_hz
    wave = np.sin(seconds / 40.0)
    usual = {
        "heart_rate_bpm": 140 + 45 * wave, "rr_ms": 500 - 100 * wave, "x_m": 30 + 25 * np.sin(seconds / 7),
        "y_m": 20 + 15 * np.cos(seconds / 5), "speed_mps": 3 + 2 * wave, "power_w": 220 + 120 * wave,
        "left_percent": 50 + wave,
    }  # fmt: skip
    columns = [usual.get(q.name, wave) + rng.normal(0, 0.5, len(seconds)) for q in STREAMS[stream].quantities]
    low, high, step = np.array([(q.low, q.high, q.resolution) for q in STREAMS[stream].quantities]).T
    values = np.round(np.clip(np.stack(columns, axis=1), low, high) / step) * step
    jitter_ns = rng.integers(0, int(0.4 * NS_PER_S / rate_hz), len(seconds))
    block = _rows(rng, stream, start_ns + (seconds * NS_PER_S).astype(np.int64) + jitter_ns, values)
    gap_ns = block.time_ns - start_ns - 600 * NS_PER_S
    return select(block, (rng.random(len(block)) > 0.02) & ((gap_ns < 0) | (gap_ns > 40 * NS_PER_S)))


def _rows(rng: np.random.Generator, stream: str, time_ns: np.ndarray, values: np.ndarray) -> Readings:
    count = len(time_ns)
    odd = rng.random(count) < 0.02 * (count > 1)
    values = np.where((rng.random(values.shape) < 0.01) & (count > 1), np.nan, values)
    return Readings(
        sensor=SensorId(f"{stream}-1"), stream=stream, origin="boot-1", sequence=np.arange(count),
        time_ns=kept_time(time_ns, time_ns),
        values=values, quality=np.where(odd, rng.choice([1, 2, 4, 16, 32, 64, 128], count), 0).astype(np.uint8),
        athlete=ATHLETE,
    )  # fmt: skip


def live(blocks: list[Readings]) -> MetricTracker:
    """Return what a gateway shows that takes a tenth of a second at a time."""
    windower, tracker = Windower(), MetricTracker(profile_of(KNOWN))
    begun = min(int(block.time_ns[0]) for block in blocks)
    over = max(int(block.time_ns[-1]) for block in blocks)
    for now_ns in range(begun, over + RESOLUTION_NS, RESOLUTION_NS):
        spans = [np.searchsorted(block.time_ns, (now_ns, now_ns + RESOLUTION_NS)) for block in blocks]
        come = [select(block, slice(*span)) for block, span in zip(blocks, spans, strict=True) if span[1] > span[0]]
        for window in windower.push(*come):
            tracker.update(window)
    for window in windower.flush():
        tracker.update(window)
    assert windower.late == 0
    return tracker


@pytest.mark.parametrize("seed", [3, 77])
def test_metrics_when_a_session_has_every_stream_then_live_and_cloud_say_the_same(seed: int) -> None:
    """Rule: what was sent and derived gives the values, coverage, quality and notes that were shown, 1e-9."""
    print(f"seed {seed}")
    blocks = session(np.random.default_rng(seed))
    sent = [part for block in blocks for part in decode_parquet(encode_parquet([block]))]
    shown, derived = live(blocks).values(), derive(sent, ATHLETE, KNOWN).metrics
    assert shown.keys() == {metric.metric_id for metric in METRICS}
    for metric_id, value in shown.items():
        other = derived[metric_id]
        assert other.values == pytest.approx(value.values, rel=1e-9, nan_ok=True), metric_id
        assert (other.coverage, other.quality) == pytest.approx((value.coverage, value.quality)), metric_id
        assert (other.notes, value.coverage > 0) == (value.notes, True), metric_id
