"""From files to blocks of readings that name their sensor, their wearer and their identity. No database here."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.files.base import Content, Series
from edge.files.registry import read
from edge.files.unpack import unpack
from edge.pipeline.validate import implausible
from shared.errors import ConfigError, DecodeError
from shared.ids import BALL, AthleteId, SensorId
from shared.readings import Quality, Readings

_BALL_WEARER = "ball"
_UNCERTAIN = np.uint8(Quality.UNCERTAIN)
_LISTED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a file holds. `origin` is 32 hexadecimal digits of its content's SHA-256, packed or not the same."""

    format: str
    origin: str
    content: Content

    @property
    def wearers(self) -> tuple[str, ...]:
        """Whom it is of: `("",)` for one person, else `home-10`, `ball`."""
        return tuple(sorted({series.wearer for series in self.content.series}))

    def sensor(self, wearer: str) -> SensorId:
        """Return the sensor id that this file's readings of a wearer get."""
        return SensorId(f"{self.origin[:12]}-{wearer}" if wearer else f"file-{self.origin[:12]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Who is who: `athlete` for a file of one person, `players` by wearer for a match; `worn` asks the roster.

    `keep` stores whom nobody named without an athlete.
    """

    athlete: AthleteId | None
    players: Mapping[str, AthleteId]
    worn: Callable[[SensorId, int], AthleteId | None]
    keep: bool


def open_files(bodies: Sequence[bytes], *, salvage: bool) -> Opened:
    """Return what one file, or the files that belong together, hold.

    Raises: DecodeError saying why it is not taken.
    """
    plain = [unpack(body) for body in bodies]
    digests = sorted(hashlib.sha256(body).digest() for body in plain)
    origin = hashlib.sha256(b"".join(digests)).hexdigest() if len(digests) > 1 else digests[0].hex()
    reader, content = read(plain, salvage=salvage)
    return Opened(format=reader.name, origin=origin[:32], content=content)


def blocks_of(opened: Opened, naming: Naming, *, start_ns: int | None) -> list[Readings]:
    """Return the readings to store, one block per wearer and stream, in the file's order.

    `start_ns` is when the first reading was taken; it is needed where the file says no date, and wins where it does.
    A reading's sequence number is its row within its stream, so that the same file gives the same identities.

    Raises: ConfigError when somebody is named wrongly or not at all; DecodeError without a date.
    """
    content = opened.content
    if start_ns is None and not content.dated:
        raise DecodeError("it does not say when it was: give --start with date and time")
    first_ns = min(int(series.time_ns.min()) for series in content.series)
    moved_ns = 0 if start_ns is None else start_ns - first_ns
    athletes = _athletes(opened, naming, first_ns + moved_ns)
    doubt = np.uint8(0) if content.damage is None else _UNCERTAIN
    return [_block(opened, series, athletes[series.wearer], moved_ns, doubt) for series in content.series]


def _block(opened: Opened, series: Series, athlete: AthleteId | None, moved_ns: int, doubt: np.uint8) -> Readings:
    return Readings(
        sensor=opened.sensor(series.wearer),
        stream=series.stream,
        origin=opened.origin,
        sequence=np.arange(len(series.time_ns), dtype=np.int64),
        time_ns=series.time_ns + moved_ns,
        values=series.values,
        quality=implausible(series.stream, series.values) | doubt,
        athlete=athlete,
    )


def _athletes(opened: Opened, naming: Naming, at_ns: int) -> dict[str, AthleteId | None]:
    wearers = opened.wearers
    unknown = sorted(set(naming.players) - set(wearers))
    if unknown:
        raise ConfigError("--map", f"{', '.join(unknown)}: nobody of that name is in the file")
    if naming.athlete is not None and wearers != ("",):
        raise ConfigError("--athlete", f"the file is of {len(wearers)}: name them with --map or --players")
    doubled = [athlete for athlete, count in Counter(naming.players.values()).items() if count > 1]
    if doubled:
        raise ConfigError("--map", f"{', '.join(doubled)} cannot be two players")
    found = {wearer: _athlete(opened, naming, wearer, at_ns) for wearer in wearers}
    missing = [wearer for wearer, athlete in found.items() if athlete is None]
    if missing and not naming.keep:
        raise ConfigError(*_who(opened, missing))
    return found


def _athlete(opened: Opened, naming: Naming, wearer: str, at_ns: int) -> AthleteId | None:
    if not wearer and naming.athlete is not None:
        return naming.athlete
    named = naming.players.get(wearer) or naming.worn(opened.sensor(wearer), at_ns)
    return BALL if named is None and wearer == _BALL_WEARER else named


def _who(opened: Opened, missing: list[str]) -> tuple[str, str]:
    if missing == [""]:
        return "--athlete", f"say whose the file is, or assign {opened.sensor('')} in the roster, or --unmapped keep"
    listed = ", ".join(missing[:_LISTED])
    return "--map", f"say who these are (--map {missing[0]}=a01, --players FILE), or --unmapped keep: {listed}"
