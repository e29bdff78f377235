"""Recorded activities of one athlete, FIT and TCX, as columns at 1 Hz.

FIT (Garmin FIT SDK, profile 21) is read with fitdecode, checksums enforced; TCX through defusedxml, which refuses
entities. Cadence is left as the device states it: crank revolutions a minute on a bicycle, of one leg on foot.
"""

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import fitdecode
import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.errors import DecodeError

_ENDINGS = (".fit", ".fit.gz", ".fit.zip", ".tcx")
_MAX_BYTES = 256 * 2**20
_LONGEST_S = 48 * 3600
_FIT_FIELDS = {
    "hr_bpm": ("heart_rate",),
    "speed_mps": ("enhanced_speed", "speed"),
    "power_w": ("power",),
    "cadence_rpm": ("cadence",),
    "altitude_m": ("enhanced_altitude", "altitude"),
    "distance_m": ("distance",),
}
_QUANTITIES = tuple(_FIT_FIELDS)
_TCX_SPORTS = {"biking": "cycling"}
_Point = tuple[datetime, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One activity in one sport: T seconds, float32[T] each, NaN in seconds without a value.

    `sport` is the file's word in lower case (`running`, `cycling`, ...), `unknown` when it has none; `device` tells
    files of one device apart from another's, empty when the file does not say.
    """

    file: str
    sport: str
    device: str
    start_ns: int
    hr_bpm: NDArray[np.float32]
    speed_mps: NDArray[np.float32]
    power_w: NDArray[np.float32]
    cadence_rpm: NDArray[np.float32]
    altitude_m: NDArray[np.float32]
    distance_m: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.hr_bpm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """What a folder held, and for each file that was refused why."""

    activities: tuple[Activity, ...]
    refused: dict[str, str]


def read_activities(path: Path) -> Activities:
    """Read a file, or every FIT and TCX file of a folder and the folders in it."""
    files = [path] if path.is_file() else sorted(filter(is_activity, path.rglob("*")))
    found: list[Activity] = []
    refused: dict[str, str] = {}
    for file in files:
        try:
            found += read_activity(file)
        except DecodeError as exc:
            refused[str(file)] = exc.reason
    return Activities(activities=tuple(found), refused=refused)


def is_activity(file: Path) -> bool:
    """Tell whether a file's name says that it is one."""
    return _ending(file) in _ENDINGS


def read_activity(file: Path) -> list[Activity]:
    """Return the activities of one file: several of a multisport one.

    Raises: DecodeError when it is damaged, of another format, or holds no record with a time.
    """
    body = _body(file)
    parts = list(_tcx(body) if _ending(file) == ".tcx" else _fit(body))
    if not parts:
        raise DecodeError("it holds no record with a time")
    return [_activity(file, sport, device, points) for sport, device, points in parts]


def _fit(body: bytes) -> Iterator[tuple[str, str, list[_Point]]]:
    """Yield sport, device and points of each session of a FIT file, or of all records when it names none."""
    found = _Fit()
    try:
        checked = fitdecode.FitReader(
            io.BytesIO(body), check_crc=fitdecode.CrcCheck.RAISE, error_handling=fitdecode.ErrorHandling.RAISE
        )
        with checked as reader:
            for message in reader:
                if isinstance(message, fitdecode.FitDataMessage):
                    found.take(message)
    except (fitdecode.FitError, ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise DecodeError(f"damaged FIT: {exc}") from exc
    if len(found.sessions) > 1:
        for begun, ended, sport in found.sessions:
            inside = [point for point in found.points if begun <= point[0] <= ended]
            yield from [(sport, found.device, inside)] if inside else []
    elif found.points:
        yield found.sport, found.device, found.points


@dataclass(slots=True)
class _Fit:
    """What the messages of a file add up to."""

    points: list[_Point] = field(default_factory=list)
    sessions: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    sport: str = "unknown"
    device: str = ""

    def take(self, message: fitdecode.FitDataMessage) -> None:
        """Take one message."""
        get = {item.name: item.value for item in message.fields if item.value is not None}.get
        at = get("timestamp")
        if message.name == "record" and isinstance(at, datetime):
            self.points.append((at, _fit_values(get)))
        elif message.name == "file_id":
            self.device = f"{get('manufacturer', '')}-{get('serial_number', '')}"
        elif message.name in {"sport", "session"}:
            self.sport = str(get("sport", self.sport)).lower()
            begun = get("start_time")
            if message.name == "session" and isinstance(begun, datetime) and isinstance(at, datetime):
                self.sessions.append((begun, at, self.sport))


def _fit_values(get: Callable[[str], object]) -> dict[str, float]:
    return {
        quantity: float(next((given for name in names if isinstance(given := get(name), int | float)), math.nan))
        for quantity, names in _FIT_FIELDS.items()
    }


def _tcx(body: bytes) -> Iterator[tuple[str, str, list[_Point]]]:
    """Yield sport, device and points of each activity of a Training Center file, version 2."""
    try:
        root = ElementTree.fromstring(body)
    except (ParseError, DefusedXmlException, ValueError) as exc:
        raise DecodeError(f"damaged TCX: {exc}") from exc
    for activity in root.iterfind(".//{*}Activity"):
        sport = activity.get("Sport", "unknown").lower()
        points = [point for item in activity.iterfind(".//{*}Trackpoint") if (point := _trackpoint(item)) is not None]
        if points:
            yield _TCX_SPORTS.get(sport, sport), activity.findtext("{*}Creator/{*}UnitId") or "", points


def _trackpoint(item: Element) -> _Point | None:
    moment = item.findtext("{*}Time")
    if moment is None:
        return None
    paths = {
        "hr_bpm": "{*}HeartRateBpm/{*}Value",
        "speed_mps": "{*}Extensions/{*}TPX/{*}Speed",
        "power_w": "{*}Extensions/{*}TPX/{*}Watts",
        "cadence_rpm": "{*}Cadence",
        "altitude_m": "{*}AltitudeMeters",
        "distance_m": "{*}DistanceMeters",
    }
    try:
        at = datetime.fromisoformat(moment.strip())
        values = {name: float(item.findtext(path) or math.nan) for name, path in paths.items()}
    except ValueError as exc:
        raise DecodeError(f"damaged TCX: {exc}") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC), values


def _activity(file: Path, sport: str, device: str, points: Sequence[_Point]) -> Activity:
    at_s = np.array([point[0].timestamp() for point in points])
    second = np.floor(at_s - math.floor(at_s.min())).astype(np.int64)
    if second.max() >= _LONGEST_S:
        raise DecodeError(f"its records lie {second.max() / 3600:.0f} h apart")
    order = np.argsort(at_s, kind="stable")
    columns = {}
    for quantity in _QUANTITIES:
        values = np.array([point[1][quantity] for point in points])
        known = order[np.isfinite(values[order])]
        columns[quantity] = np.full(int(second.max()) + 1, np.nan, np.float32)
        columns[quantity][second[known]] = values[known]  # the last of a second stays
    return Activity(file=str(file), sport=sport, device=device, start_ns=math.floor(at_s.min()) * NS_PER_S, **columns)


def _ending(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] in ([".gz"], [".zip"]) else "".join(suffixes[-1:])


def _body(file: Path) -> bytes:
    """Return a file's bytes, unpacked.

    Raises: DecodeError when it cannot be unpacked or is larger than any activity.
    """
    try:
        if file.suffix.lower() == ".gz":
            with gzip.open(file) as packed:
                body = packed.read(_MAX_BYTES + 1)
        elif file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as packed:
                body = packed.read(_MAX_BYTES + 1)
        else:
            with file.open("rb") as plain:
                body = plain.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, IndexError) as exc:
        raise DecodeError(f"it cannot be read: {exc}") from exc
    if len(body) > _MAX_BYTES:
        raise DecodeError(f"it is larger than {_MAX_BYTES} bytes")
    return body
