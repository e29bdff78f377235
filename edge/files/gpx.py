"""GPX 1.0 and 1.1 tracks, read with gpxpy behind the XML gate; heart rate and the like from the usual extensions."""

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import gpxpy
import gpxpy.gpx

from edge.files.base import PARSER_FAULTS, Content, Rows, ns_of, number
from edge.files.secure_xml import check_xml, root_of
from shared.errors import DecodeError

# Garmin's TrackPointExtension, Cluetrust's GPXDATA and what Strava writes agree on these endings.
_NAMES = {
    "hr": "hr",
    "heartrate": "hr",
    "cad": "cadence",
    "cadence": "cadence",
    "power": "power",
    "PowerInWatts": "power",
    "speed": "speed",
    "distance": "distance",
}
_STEPS, _PEDALS = ("run", "walk", "hik"), ("cycl", "bik", "ride")


class _Element(Protocol):
    """An XML element, of whichever library the parser chose."""

    tag: str
    text: str | None

    def iter(self) -> Iterator["_Element"]: ...


class GpxReader:
    """Tracks with times; routes and waypoints are none."""

    name = "GPX"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" for the format's root element."""
        return "activity" if root_of(body) == "gpx" else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  nothing precedes damage: XML is read whole
        """Return the points of all tracks. Raises: DecodeError."""
        body = parts["activity"]
        check_xml(body)
        try:
            rows, notes = Rows(), dict[str, None]()
            for track in gpxpy.parse(body).tracks:
                kind = _kind(track.type)
                for segment in track.segments:
                    for point in segment.points:
                        _take(rows, notes, point, kind)
        except (gpxpy.gpx.GPXException, *PARSER_FAULTS) as exc:
            raise DecodeError(f"damaged GPX: {exc}") from exc
        return Content(series=rows.series(), notes=tuple(notes))


def _take(rows: Rows, notes: dict[str, None], point: gpxpy.gpx.GPXTrackPoint, kind: str | None) -> None:
    if point.time is None:
        notes["points without a time were left out"] = None
        return
    time_ns = ns_of(point.time)
    more = _extensions(point.extensions)
    rows.add("heart_rate", time_ns, more.get("hr", math.nan))
    rows.add("location", time_ns, number(point.latitude), number(point.longitude), number(point.elevation))
    rows.add("power", time_ns, more.get("power", math.nan))
    cadence = more.get("cadence", math.nan)
    steps_spm = 2 * cadence if kind == "steps" else math.nan
    speed_mps = more.get("speed", number(point.speed))
    rows.add("speed", time_ns, speed_mps, more.get("distance", math.nan), steps_spm)
    if kind == "pedals":
        rows.add("cadence", time_ns, cadence)
    elif kind is None and cadence > 0:
        notes["cadence was left out: the track does not say of what it is"] = None


def _extensions(elements: list[_Element]) -> dict[str, float]:
    found: dict[str, float] = {}
    for element in (inner for outer in elements for inner in outer.iter()):
        name = _NAMES.get(str(element.tag).rpartition("}")[2])
        if name is not None and element.text is not None:
            found[name] = number(float(element.text))
    return found


def _kind(track_type: str | None) -> str | None:
    words = (track_type or "").lower()
    if any(word in words for word in _STEPS):
        return "steps"
    return "pedals" if any(word in words for word in _PEDALS) else None
