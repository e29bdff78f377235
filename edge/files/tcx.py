"""TCX: Garmin's Training Center XML, read with tcxreader behind the XML gate."""

import io
import math
from collections.abc import Mapping

from tcxreader.tcx_track_point import TCXTrackPoint
from tcxreader.tcxreader import TCXReader as Parser

from edge.files.base import PARSER_FAULTS, Content, Rows, ns_of, number
from edge.files.secure_xml import check_xml, root_of
from shared.errors import DecodeError

_KINDS = {"running": "steps", "walking": "steps", "hiking": "steps", "biking": "pedals", "cycling": "pedals"}


class TcxReader:
    """Activities of Training Center databases, version 2."""

    name = "TCX"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" for the format's root element."""
        return "activity" if root_of(body) == "TrainingCenterDatabase" else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  nothing precedes damage: XML is read whole
        """Return the activity's points. Raises: DecodeError."""
        body = parts["activity"]
        check_xml(body)
        try:
            # The parser opens what ElementTree opens: a path, or a file such as this.
            activity = Parser().read(io.BytesIO(body), only_gps=False)
            kind = _KINDS.get(str(getattr(activity, "activity_type", "")).lower())
            rows, notes = Rows(), dict[str, None]()
            for point in activity.trackpoints:
                _take(rows, notes, point, kind)
        except PARSER_FAULTS as exc:
            raise DecodeError(f"damaged TCX: {exc}") from exc
        return Content(series=rows.series(), notes=tuple(notes))


def _take(rows: Rows, notes: dict[str, None], point: TCXTrackPoint, kind: str | None) -> None:
    if point.time is None:
        notes["points without a time were left out"] = None
        return
    time_ns = ns_of(point.time)
    more = {name: number(value) for name, value in point.tpx_ext.items()}
    rows.add("heart_rate", time_ns, number(point.hr_value))
    if point.latitude is not None and point.longitude is not None:
        rows.add("location", time_ns, number(point.latitude), number(point.longitude), number(point.elevation))
    rows.add("power", time_ns, more.get("Watts", math.nan))
    # RunCadence counts one leg; what stands in Cadence counts what the sport says.
    leg_rpm = more.get("RunCadence", number(point.cadence) if kind == "steps" else math.nan)
    rows.add("speed", time_ns, more.get("Speed", math.nan), number(point.distance), 2 * leg_rpm)
    if kind == "pedals":
        rows.add("cadence", time_ns, number(point.cadence))
    elif kind is None and number(point.cadence) > 0:
        notes["cadence was left out: the sport does not say of what it is"] = None
