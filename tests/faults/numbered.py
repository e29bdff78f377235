"""Readings that say their own number: what was stored can be told from what should have been, in gateway and cloud."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cloud.ingest.ledger import Ledger
from cloud.settings import Layout
from edge.store.reader import JournalReader
from shared.clock import NS_PER_MS
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.parquet_codec import decode_parquet
from shared.quantities import STREAMS
from shared.readings import Readings

Key = tuple[str, str, str, int]
"""Stream, sensor, origin, number."""
STREAM_NAMES = ("position", "heart_rate", "location", "speed", "cadence", "power")
_STEPS = 10_007


def block(stream: str, first: int, count: int, *, start_ns: int, origin: str, sensor: str = "tag-01") -> Readings:
    """Return `count` readings from number `first` on, 100 ms apart, with values that follow from their numbers."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    return Readings(
        sensor=SensorId(sensor),
        stream=stream,
        origin=origin,
        sequence=numbers,
        time_ns=start_ns + np.arange(count, dtype=np.int64) * 100 * NS_PER_MS,
        values=_steps(stream, numbers) * _resolutions(stream),
        quality=np.zeros(count, np.uint8),
        athlete=AthleteId("a01"),
    )


def position_steps(number: int) -> tuple[int, int, int]:
    """Return the position of a number as a tag sends it: x and y in mm, quality in percent."""
    x_mm, y_mm, quality = _steps("position", np.array([number]))[0].tolist()
    return int(x_mm), int(y_mm), int(quality)


def journal_readings(database: Path) -> Counter[Key]:
    """Return how often each numbered reading stands in a gateway's journal, with the values that it should have."""
    found: Counter[Key] = Counter()
    with JournalReader(database) as reader:
        for _, blocks in reader.blocks(imported=True):
            found.update(_keys(blocks))
    return found


def cloud_readings(layout: Layout, gateway: str | None = None) -> tuple[Counter[Key], list[str]]:
    """Return how often each numbered reading stands in the ledger's objects, and what is wrong with objects."""
    found: Counter[Key] = Counter()
    wrong: list[str] = []
    ledger = Ledger(layout.ledger)
    rows = [row for row in ledger.bronze() if gateway is None or row.gateway == gateway]
    ledger.close()
    for row in rows:
        file = layout.objects / row.object
        body = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(body).hexdigest() != row.sha256:
            wrong.append(f"{row.object}: not the bytes of its receipt")
        elif row.content != "summary":
            try:
                found.update(_keys(decode_parquet(body)))
            except DecodeError as exc:
                wrong.append(f"{row.object}: {exc.reason}")
    return found, wrong


def differences(name: str, wanted: Iterable[Key], found: Counter[Key], *, where: str) -> list[str]:
    """Return in words what of `wanted` is missing, and what stands there twice."""
    wanted = set(wanted)
    missing = sorted(key for key in wanted if not found[key])
    doubled = sorted(key for key, count in found.items() if count > 1)
    words = [f"{name}: {len(missing):,} of {len(wanted):,} missing {where}, first {missing[0]}"] if missing else []
    return words + ([f"{name}: {len(doubled):,} twice {where}, first {doubled[0]}"] if doubled else [])


def _keys(blocks: Iterable[Readings]) -> Iterator[Key]:
    """Yield the readings whose values are those of their numbers; others count as missing."""
    for one in blocks:
        right = np.round(one.values / _resolutions(one.stream)) == _steps(one.stream, one.sequence)
        for number in one.sequence[right.all(axis=1)].tolist():
            yield one.stream, str(one.sensor), one.origin, number


def _resolutions(stream: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([quantity.resolution for quantity in STREAMS[stream].quantities])


def _steps(stream: str, numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> np.ndarray:
    """Return [n, quantities] values in steps of their resolutions: scattered, so that they do not pack too well."""
    lowest = np.array([np.ceil(quantity.low / quantity.resolution) for quantity in STREAMS[stream].quantities])
    span = np.array([quantity.high / quantity.resolution for quantity in STREAMS[stream].quantities]) - lowest
    scattered = (numbers * numbers * 31 + numbers * 7)[:, None] % (_STEPS - 10 * np.arange(len(span)))
    return lowest + scattered % (np.minimum(span, _STEPS).astype(np.int64) + 1)
