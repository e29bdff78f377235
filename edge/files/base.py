"""What a file reader is: pure, from the bytes of one file, or of the files that belong together, to columns."""

import math
import re
import struct
from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.errors import DecodeError
from shared.quantities import STREAMS

PARSER_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NameError,
    OSError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    re.error,
    struct.error,
)
"""What parsers, those of libraries too, raise over bytes that they did not expect; readers make a DecodeError of it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A file outside these years carries a clock that was never set.
_FIRST_NS = round(datetime(1985, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
_LAST_NS = round(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
_NO_TIME = "it has times outside the years 1985 to 2100"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One stream of one wearer: `time_ns` int64[n], `values` float64[n, k] in the stream's columns, NaN is missing.

    `wearer` is "" in a file of one person, else `home-10`, `away-3`, `ball`.
    """

    stream: str
    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    wearer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that a file says. `dated` is False where its times count from 0; `notes` are for people.

    `damage` says what is wrong with a file of which only the part before it was read.
    """

    series: tuple[Series, ...]
    dated: bool = True
    notes: tuple[str, ...] = ()
    damage: str | None = None


class Reader(Protocol):
    """One file format. `parts` names the files that belong together, one for most formats."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def parts(self) -> tuple[str, ...]: ...  # noqa: D102

    def part(self, body: bytes) -> str | None:
        """Return which part of this format the bytes look like, or None."""

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:
        """Return what the file says; with `salvage` what precedes damage, where the format allows it.

        Raises: DecodeError, and nothing else.
        """


@dataclass(slots=True)
class Rows:
    """Collects rows by wearer and stream, in the order of the file."""

    _rows: "dict[tuple[str, str], tuple[array[int], array[float]]]" = field(
        default_factory=lambda: defaultdict(lambda: (array("q"), array("d")))
    )

    def add(self, stream: str, time_ns: int, *values: float, wearer: str = "") -> None:
        """Take one row; the columns that are not given are missing, and a row with nothing is none.

        Raises: DecodeError when the time is beyond all time.
        """
        if all(math.isnan(value) for value in values):
            return
        if not -_LAST_NS < time_ns < _LAST_NS:
            raise DecodeError(_NO_TIME)
        times, cells = self._rows[wearer, stream]
        times.append(time_ns)
        cells.extend(values)
        cells.extend((math.nan,) * (len(STREAMS[stream].quantities) - len(values)))

    def series(self, *, dated: bool = True) -> tuple[Series, ...]:
        """Return the columns.

        Raises: DecodeError when there is nothing that a stream holds, or a time cannot be right.
        """
        made: list[Series] = []
        for (wearer, stream), (times, cells) in self._rows.items():
            time_ns = np.array(times, np.int64)
            if dated and (time_ns < _FIRST_NS).any():
                raise DecodeError(_NO_TIME)
            values = np.array(cells, np.float64).reshape(len(times), -1)
            made.append(Series(stream=stream, time_ns=time_ns, values=values, wearer=wearer))
        if not made:
            raise DecodeError("it holds none of heart rate, RR, speed, distance, cadence, power, gait, place")
        return tuple(made)


def number(value: object) -> float:
    """Return a finite number as a float, anything else as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def ns_of(moment: datetime) -> int:
    """Return a moment as nanoseconds UTC, exactly; one without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


def text_of(body: bytes) -> str:
    """Return text, UTF-8 or else Latin-1 as old devices wrote it.

    Raises: DecodeError for bytes that are no text.
    """
    if b"\x00" in body:
        raise DecodeError("it is no text")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")
