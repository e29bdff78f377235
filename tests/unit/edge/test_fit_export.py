"""FIT files that we write, read back by fitdecode, which knows nothing of our writer."""

from collections.abc import Callable
from typing import Any

import fitdecode
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.export.fit import encode_fit
from edge.export.fit_bytes import ENUM, UINT8, UINT16, UINT32, UINT32Z, Field, FitFile, Layout, crc16
from edge.files.registry import read
from shared.clock import NS_PER_S
from shared.readings import Quality, Readings
from tests.factories import START_NS, heart_rates, positions, readings

STAMP = Field(name="timestamp", number=253, base=UINT32)


def records(body: bytes) -> list[dict[str, Any]]:
    """Return the record messages, checksums enforced."""
    with fitdecode.FitReader(body, check_crc=fitdecode.CrcCheck.RAISE) as reader:
        return [
            {field.name: field.value for field in frame.fields}
            for frame in reader
            if isinstance(frame, fitdecode.FitDataMessage) and frame.name == "record"
        ]


def encoded(*blocks: Readings, **given: Any) -> bytes:
    """Return one athlete's blocks as FIT."""
    body = encode_fit({block.stream: block for block in blocks}, **given)
    assert body is not None
    return body


def test_fit_when_written_as_the_golden_file_then_every_byte_is_the_same(
    golden: Callable[[str], dict[str, Any]],
) -> None:
    """Rule: definitions, scales, epoch and checksums are those of a file that other software reads."""
    start = 0x43BA4B20
    record = Layout(number=20, fields=(
        STAMP, Field(name="hr", number=3, base=UINT8), Field(name="cadence", number=4, base=UINT8),
        Field(name="power", number=7, base=UINT16), Field(name="speed", number=6, base=UINT16, scale=1000),
        Field(name="distance", number=5, base=UINT32, scale=100)))  # fmt: skip
    span = (Field(name="start", number=2, base=UINT32), Field(name="elapsed", number=7, base=UINT32, scale=1000),
            Field(name="timer", number=8, base=UINT32, scale=1000),
            Field(name="distance", number=9, base=UINT32, scale=100))  # fmt: skip
    file_id = Layout(number=0, fields=(
        Field(name="type", number=0, base=ENUM), Field(name="manufacturer", number=1, base=UINT16),
        Field(name="product", number=2, base=UINT16), Field(name="created", number=4, base=UINT32),
        Field(name="serial", number=3, base=UINT32Z)))  # fmt: skip
    session = Layout(number=18, fields=(
        STAMP, *span, Field(name="sport", number=5, base=ENUM), Field(name="avg", number=16, base=UINT8),
        Field(name="max", number=17, base=UINT8)))  # fmt: skip
    activity = Layout(number=34, fields=(
        STAMP, Field(name="timer", number=0, base=UINT32, scale=1000), Field(name="sessions", number=1, base=UINT16),
        Field(name="type", number=2, base=ENUM)))  # fmt: skip
    file = FitFile()
    file.add(file_id, {"type": 4, "manufacturer": 255, "product": 1, "serial": 12345, "created": start})
    for n, (hr, cadence, power, speed, distance) in enumerate(
        ((120, 80, 150, 3.0, 0.0), (128, 82, 180, 3.25, 3.12), (137, 85, 210, 3.5, 6.5))
    ):
        values = {"hr": hr, "cadence": cadence, "power": power, "speed": speed, "distance": distance}
        file.add(record, {"timestamp": start + n, **values})
    whole = {"timestamp": start + 2, "start": start, "elapsed": 2.0, "timer": 2.0, "distance": 6.5}
    file.add(Layout(number=19, fields=(STAMP, *span)), whole)
    file.add(session, {**whole, "sport": 2, "avg": 128, "max": 137})
    file.add(activity, {"timestamp": start + 2, "timer": 2.0, "sessions": 1, "type": 0})
    assert file.to_bytes().hex() == golden("fit_minimal_activity.json")["hex"]


def test_fit_when_exported_and_imported_then_the_values_are_the_same() -> None:
    """Rule: what a FIT file can hold comes back as it was: heart rate, speed, distance, cadence, place, gait, power."""
    count, random_ = 600, np.random.default_rng(3)

    def whole(low: int, high: int, per: float = 1) -> NDArray[np.float64]:
        return random_.integers(low, high, count) / per

    place = (whole(-900_000_000, 900_000_000, 1e7), whole(-1_800_000_000, 1_800_000_000, 1e7), whole(0, 500, 5))
    made = [
        heart_rates(whole(60, 190)),
        readings(
            "speed",
            np.column_stack(
                (whole(0, 9000, 1000), np.arange(count) * 3.21, whole(120, 400, 2), whole(500, 2000, 1000))
            ),
        ),
        readings("location", np.column_stack((*place, np.full(count, np.nan)))),
        readings("gait", np.column_stack((whole(1500, 4000, 10), whole(4500, 5500, 100)))),
        readings("power", np.column_stack((whole(0, 900), whole(40, 60)))),
    ]
    _, content = read([encoded(*made)])
    for block in made:
        found = next(series for series in content.series if series.stream == block.stream)
        assert found.time_ns.tolist() == block.time_ns.tolist()
        columns = 1 if block.stream == "heart_rate" else block.values.shape[1]
        np.testing.assert_allclose(found.values[:, :columns], block.values[:, :columns], atol=5.1e-8, rtol=1e-12)


def test_fit_when_beats_are_exported_then_their_intervals_come_back() -> None:
    """Rule: beat intervals go out to the millisecond, all of them."""
    intervals = np.random.default_rng(4).integers(400, 1200, 500).astype(float)
    times = START_NS + np.cumsum(intervals).astype(np.int64) * 1_000_000
    seconds = int(intervals.sum() // 1000) + 1
    body = encoded(readings("rr", intervals[:, None], times_ns=times), heart_rates([120] * seconds))
    _, content = read([body])
    beats = next(series for series in content.series if series.stream == "rr")
    np.testing.assert_allclose(beats.values[:, 0], intervals)
    assert np.abs(beats.time_ns - times).max() <= 3 * NS_PER_S


def test_fit_when_readings_stop_then_the_gap_stays_a_gap() -> None:
    """Rule: a value holds for 5 s, then it is invalid; nothing is filled in."""
    times = [START_NS, START_NS + 20 * NS_PER_S]
    body = encoded(heart_rates([120, 130], times_ns=times), readings("power", [(200.0, np.nan)] * 21))
    rates = [record.get("heart_rate") for record in records(body)]
    assert rates == [120] * 6 + [None] * 14 + [130]


def test_fit_when_a_reading_is_implausible_then_it_is_not_exported() -> None:
    """Rule: flagged readings stay in the journal and the tables; other software would take them for true."""
    body = encoded(heart_rates([120, 251, 130], quality=[0, int(Quality.IMPLAUSIBLE), 0]))
    assert [record["heart_rate"] for record in records(body)] == [120, 120, 130]


def test_fit_when_there_are_positions_only_then_the_way_comes_from_them() -> None:
    """Rule: local metres have no place in FIT, the way covered has."""
    body = encoded(positions([(0.0, 0.0)] * 30), distance_m=np.array([0.0, 3.0, 6.5]))
    assert [(r["distance"], r["enhanced_speed"]) for r in records(body)] == [(0, 0), (3, 3), (6.5, 3.5)]


def test_fit_when_nothing_fits_then_there_is_no_file() -> None:
    """Rule: no empty activity."""
    assert encode_fit({}) is None
    assert encode_fit({"battery": readings("battery", [(50,)])}) is None
    with pytest.raises(ValueError, match="seconds in one activity"):
        encode_fit({"heart_rate": heart_rates([1, 2], times_ns=[START_NS, START_NS + 10**15])})


def test_checksum_when_compared_with_the_specifications_polynomial_then_it_is_the_same() -> None:
    """Rule: CRC-16/ARC; its check value over "123456789" is 0xBB3D (Williams, "A painless guide", and Koopman)."""
    assert crc16(b"123456789") == 0xBB3D
