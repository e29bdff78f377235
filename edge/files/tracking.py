"""Tracking of whole matches, from video or tags, read with kloppy: Metrica, SkillCorner, Tracab, Sportec (DFL).

Vendors' words and coordinates stop here: positions come out in metres from a corner of the pitch, x along its length,
y across it, one series for each player (`home-10`, by shirt number) and the ball.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kloppy import metrica, skillcorner, sportec, tracab
from kloppy.domain import Ground, Player, Point, TrackingDataset, VerticalOrientation
from kloppy.exceptions import KloppyError

from edge.files.base import PARSER_FAULTS, Content, Rows, ns_of
from edge.files.secure_xml import check_xml, root_of
from shared.clock import NS_PER_S
from shared.errors import DecodeError

_HEAD_BYTES = 4096
# A pitch is 90 to 120 m by 45 to 90 m (IFAB, law 1); what is far from it is a slip of the unit.
_PITCH_M = (20.0, 200.0)
_USUAL_PITCH_M = (105.0, 68.0)
_LINE = re.compile(rb"\s*\d+:")
_NOT_NAMING = re.compile(r"[^A-Za-z0-9]+")
# What of EPTS metadata goes into a regular expression.
_ATTRIBUTE = re.compile(rb"""(?:separator|name|id|[A-Za-z]+Id)\s*=\s*["']([^"']*)["']""")
_PLAIN = re.compile(rb"[:;,|\t ]|[A-Za-z0-9_.-]{0,64}")
_MAX_ATTRIBUTES = 20_000
_DEFAULTED = "the file does not say how large the pitch is: 105 x 68 m was taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingReader:
    """A vendor's pair of files: `sniff` names the part that bytes look like, `load` hands both to kloppy."""

    name: str
    parts: tuple[str, ...]
    sniff: Callable[[bytes], str | None]
    load: Callable[[Mapping[str, bytes]], TrackingDataset]

    def part(self, body: bytes) -> str | None:
        """Return which of the two files this looks like."""
        return self.sniff(body)

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  frames carry no checksum
        """Return every body's positions. Raises: DecodeError."""
        for body in parts.values():
            if root_of(body) is not None:
                check_xml(body)
        try:
            with warnings.catch_warnings(action="ignore"):  # what matters of them is said in the notes
                dataset = self.load(parts)
                return _content(dataset)
        except (KloppyError, *PARSER_FAULTS) as exc:
            if isinstance(exc, DecodeError):
                raise
            fault = f"{type(exc).__name__} {exc}"[:120]
            raise DecodeError(f"damaged {self.name}, or files of different matches ({fault})") from exc


def _content(dataset: TrackingDataset) -> Content:
    metadata = dataset.metadata
    place, notes = _placed(dataset)
    if not metadata.frame_rate or not dataset.frames:
        raise DecodeError("it holds no frames")
    rows = Rows()
    start_ns = ns_of(metadata.date) if metadata.date else 0
    first = dataset.frames[0].frame_id
    names: dict[str, str] = {}
    for frame in dataset.frames:
        time_ns = start_ns + round((frame.frame_id - first) / metadata.frame_rate * NS_PER_S)
        for player, at in frame.players_coordinates.items():
            name = names.get(player.player_id) or names.setdefault(player.player_id, _name(player))
            if at is not None and at.x is not None and at.y is not None:
                rows.add("position", time_ns, *place(at), wearer=name)
        at = frame.ball_coordinates
        if at is not None and at.x is not None and at.y is not None:
            rows.add("position", time_ns, *place(at), wearer="ball")
    if len(set(names.values())) != len(names):
        raise DecodeError("two players of a team have the same shirt number")
    if start_ns:
        notes.append("the file's date was taken as the time of its first frame")
    return Content(series=rows.series(dated=bool(start_ns)), dated=bool(start_ns), notes=tuple(notes))


def _placed(dataset: TrackingDataset) -> tuple[Callable[[Point], tuple[float, float]], list[str]]:
    """Return what makes a vendor's point metres from a corner of the pitch, and what to tell of it.

    A vendor's own coordinates are kept until here: kloppy's transformation of each point takes most of the time.
    """
    size, system = dataset.metadata.pitch_dimensions, dataset.metadata.coordinate_system
    length_m, width_m = _USUAL_PITCH_M
    notes = [_DEFAULTED]
    if size.pitch_length and size.pitch_width and not size.standardized:
        length_m, width_m, notes = float(size.pitch_length), float(size.pitch_width), []
    if not all(_PITCH_M[0] <= side_m <= _PITCH_M[1] for side_m in (length_m, width_m)):
        raise DecodeError(f"its pitch is {length_m:g} x {width_m:g} m")
    left, right = float(size.x_dim.min), float(size.x_dim.max)
    bottom, top = float(size.y_dim.min), float(size.y_dim.max)
    if not (left < right and bottom < top):
        raise DecodeError("its coordinates are in no known system")
    if system is not None and system.vertical_orientation == VerticalOrientation.TOP_TO_BOTTOM:
        bottom, top = top, bottom
    per_x, per_y = length_m / (right - left), width_m / (top - bottom)
    return lambda at: ((float(at.x) - left) * per_x, (float(at.y) - bottom) * per_y), notes


def _name(player: Player) -> str:
    side = {Ground.HOME: "home", Ground.AWAY: "away"}.get(player.team.ground, "other")
    number = player.jersey_no if player.jersey_no is not None else _NOT_NAMING.sub("", str(player.player_id))
    return f"{side}-{number}"


def _metrica_csv(body: bytes) -> str | None:
    cells = body[:_HEAD_BYTES].split(b"\n", 1)[0].split(b",")
    found = {cell.strip().lower() for cell in cells if cell.strip()}
    named = {b"home": "home", b"away": "away"}
    return named[found.pop()] if len(found) == 1 and found <= set(named) and cells[0] == b"" else None


def _metrica_epts(body: bytes) -> str | None:
    if root_of(body) is not None:
        return "metadata" if b"<DataFormatSpecification" in body else None
    return "frames" if _LINE.match(body[:64]) else None


def _tracab(body: bytes) -> str | None:
    if root_of(body) is not None:
        return "metadata" if b"TracabMetaData" in body[:_HEAD_BYTES] or b"<FrameRate>" in body else None
    return "frames" if _LINE.match(body[:64]) else None


def _skillcorner(body: bytes) -> str | None:
    head = body[:_HEAD_BYTES].lstrip()
    if head.startswith((b'{"frame":', b'[{"frame', b'[{"possession', b'[{"data')):
        return "frames"
    return "metadata" if head.startswith(b"{") and b'"home_team"' in body and b'"pitch_length"' in body else None


def _sportec(body: bytes) -> str | None:
    if root_of(body) != "PutDataRequest":
        return None
    return (
        "positions"
        if b"<Positions" in body[:_HEAD_BYTES]
        else "match"
        if b"<MatchInformation" in body[:_HEAD_BYTES]
        else None
    )


def _load_epts(metadata: bytes, frames: bytes) -> TrackingDataset:
    """Load Metrica's EPTS pair, whose metadata become a regular expression: nothing else may."""
    given = _ATTRIBUTE.findall(metadata)
    if not all(_PLAIN.fullmatch(text) for text in given) or len(given) > _MAX_ATTRIBUTES:
        raise DecodeError("its EPTS metadata use separators or names that are not plain")
    return metrica.load_tracking_epts(
        meta_data=io.BytesIO(metadata), raw_data=io.BytesIO(frames), coordinates="metrica"
    )


TRACKING = (
    TrackingReader(
        name="Metrica CSV",
        parts=("home", "away"),
        sniff=_metrica_csv,
        load=lambda parts: metrica.load_tracking_csv(
            home_data=io.BytesIO(parts["home"]), away_data=io.BytesIO(parts["away"]), coordinates="metrica"
        ),
    ),
    TrackingReader(
        name="Metrica EPTS",
        parts=("metadata", "frames"),
        sniff=_metrica_epts,
        load=lambda parts: _load_epts(parts["metadata"], parts["frames"]),
    ),
    TrackingReader(
        name="SkillCorner",
        parts=("metadata", "frames"),
        sniff=_skillcorner,
        load=lambda parts: skillcorner.load(
            meta_data=io.BytesIO(parts["metadata"]),
            raw_data=io.BytesIO(parts["frames"]),
            coordinates="skillcorner",
            include_empty_frames=False,
        ),
    ),
    TrackingReader(
        name="Tracab",
        parts=("metadata", "frames"),
        sniff=_tracab,
        load=lambda parts: tracab.load(
            meta_data=io.BytesIO(parts["metadata"]), raw_data=io.BytesIO(parts["frames"]), coordinates="tracab"
        ),
    ),
    TrackingReader(
        name="Sportec",
        parts=("match", "positions"),
        sniff=_sportec,
        load=lambda parts: sportec.load_tracking(
            meta_data=io.BytesIO(parts["match"]), raw_data=io.BytesIO(parts["positions"]), coordinates="sportec"
        ),
    ),
)
"""The vendors that we read."""
