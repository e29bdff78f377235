"""Compares what the simulator says it emitted with what stands in the tables, by value.

Positions carry the tag's own counter and are matched by it. A heart-rate strap counts nothing: its notifications are
matched in order of time, as two sequences are compared by `diff`. Lines marked corrupt must be absent; lines without
acknowledgement may be; a notification sent twice is two equal readings to everybody, so its second copy may be absent.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from cloud.lag import Arrival, arrival
from cloud.pipeline.tables import open_table, read_table, readings_table
from cloud.settings import Layout
from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import ConfigError
from shared.readings import Quality

_EXAMPLES = 10
# A notification is stamped on arrival; the margin keeps other sessions of the same strap out.
_MARGIN_NS = 30 * NS_PER_S
_HALF_MM = 0.5
_RR_PER_MS = 1.024

Found = dict[str, tuple[list[int], int]]
"""By strap: values in order, and how many rows repeated an identity."""


class PositionLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="position"):
    """One emitted position."""

    sensor: str
    boot: str
    n: int
    t_ns: int
    acked: bool | None
    fault: str | None
    x_mm: int
    y_mm: int


class HeartLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="heart_rate"):
    """One emitted heart-rate notification; `rr_1024` are RR intervals in 1/1024 s."""

    sensor: str
    n: int
    t_ns: int
    acked: bool | None
    fault: str | None
    bpm: int
    rr_1024: list[int]
    contact: bool


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome; `expected` counts readings that must be there, `found` those of them that are."""

    expected: int
    found: int
    lost: int
    duplicates: int
    mismatched: int
    unexpected: int
    lost_examples: list[str]
    by_stream: dict[str, dict[str, int]]
    arrival: Arrival


@dataclass(kw_only=True)
class Tally:
    """Counts of one stream."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def lose(self, example: str) -> None:
        """Count one reading that is not there."""
        self.counts["lost"] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


def verify(layout: Layout, truth: Path, *, time_tolerance_ms: float) -> Verification:
    """Compare the truth file with the tables.

    Raises: ConfigError when the truth cannot be read; StoreError when the tables cannot.
    """
    lines = read_truth(truth)
    positions = [line for line in lines if isinstance(line, PositionLine)]
    hearts = sorted((line for line in lines if isinstance(line, HeartLine)), key=lambda line: (line.t_ns, line.n))
    tallies = {
        "position": compare_positions(positions, _rows(layout, "position"), time_tolerance_ms=time_tolerance_ms),
        "heart_rate": compare_sequences(
            _bpm_truth(hearts), _found(_rows(layout, "heart_rate"), hearts, quantity="heart_rate_bpm", per_unit=1.0)
        ),
        "rr": compare_sequences(
            _rr_truth(hearts), _found(_rows(layout, "rr"), hearts, quantity="rr_ms", per_unit=_RR_PER_MS)
        ),
    }
    sums: Counter[str] = Counter()
    for tally in tallies.values():
        sums.update(tally.counts)
    names = ("expected", "found", "lost", "duplicates", "mismatched", "unexpected")
    return Verification(
        **{name: sums[name] for name in names},
        lost_examples=[example for tally in tallies.values() for example in tally.examples][:_EXAMPLES],
        by_stream={stream: {name: tally.counts[name] for name in names} for stream, tally in tallies.items()},
        arrival=arrival(layout),
    )


def read_truth(path: Path) -> list[PositionLine | HeartLine]:
    """Read a truth file.

    Raises: ConfigError with the number of the first line that is wrong.
    """
    decoder = msgspec.json.Decoder(PositionLine | HeartLine)
    number = 0
    lines: list[PositionLine | HeartLine] = []
    try:
        with path.open("rb") as file:
            for text in file:
                number += 1
                lines.append(decoder.decode(text))
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(f"{path}:{number}", str(exc)) from exc
    return lines


def compare_positions(lines: Iterable[PositionLine], rows: pa.Table, *, time_tolerance_ms: float) -> Tally:
    """Compare positions by (sensor, boot, n); rows of power-ons that the truth does not know are of other runs."""
    tally = Tally()
    by_id: dict[tuple[str, str, int], list[PositionLine]] = defaultdict(list)
    for line in lines:
        by_id[line.sensor, line.boot, line.n].append(line)
    power_ons = {(sensor, boot) for sensor, boot, _ in by_id}
    seen: Counter[tuple[str, str, int]] = Counter()
    for row in _position_rows(rows, power_ons):
        seen[row.key] += 1
        intact = [line for line in by_id.get(row.key, []) if line.fault != "corrupt"]
        if seen[row.key] > 1:
            tally.counts["duplicates"] += 1
        elif not intact:
            tally.counts["unexpected"] += 1
        elif not row.matches(intact[0], time_tolerance_ms * NS_PER_MS):
            tally.counts["mismatched"] += 1
    for key, copies in by_id.items():
        if any(line.fault != "corrupt" and line.acked is not False for line in copies):
            tally.counts["expected"] += 1
            if seen[key]:
                tally.counts["found"] += 1
            else:
                tally.lose(f"position {key[0]} boot {key[1]} n {key[2]}")
    return tally


@dataclass(frozen=True, slots=True)
class _PositionRow:
    key: tuple[str, str, int]
    time_ns: int
    x_m: float
    y_m: float
    quality: int

    def matches(self, line: PositionLine, tolerance_ns: float) -> bool:
        """Return whether the row says what was emitted; a time that the gateway replaced is not compared."""
        trusted = not self.quality & Quality.CLOCK_CORRECTED
        if trusted and abs(self.time_ns - line.t_ns) > tolerance_ns:
            return False
        return abs(self.x_m * 1000 - line.x_mm) < _HALF_MM and abs(self.y_m * 1000 - line.y_mm) < _HALF_MM


def _position_rows(rows: pa.Table, power_ons: set[tuple[str, str]]) -> Iterator[_PositionRow]:
    names = ("sensor", "origin", "sequence", "time_ns", "x_m", "y_m", "quality")
    for sensor, origin, sequence, *rest in zip(*(rows[name].to_pylist() for name in names), strict=True):
        if (sensor, origin) in power_ons:
            yield _PositionRow((sensor, origin, sequence), *rest)


@dataclass(frozen=True, slots=True)
class Token:
    """One value of a sequence; an `optional` one may be absent."""

    value: int
    optional: bool = False


def compare_sequences(truth: dict[str, list[Token]], found: Found) -> Tally:
    """Compare each strap's values in order; what is beyond the required must equal an optional one."""
    tally = Tally()
    for sensor, tokens in truth.items():
        values, repeated = found.get(sensor, ([], 0))
        required = [token.value for token in tokens if not token.optional]
        spare = Counter(token.value for token in tokens if token.optional)
        tally.counts["duplicates"] += repeated
        tally.counts["expected"] += len(required)
        matcher = SequenceMatcher(None, required, values, autojunk=False)
        for operation, i1, i2, j1, j2 in matcher.get_opcodes():
            if operation == "equal":
                tally.counts["found"] += i2 - i1
            else:
                _count_difference(tally, sensor, required[i1:i2], values[j1:j2], spare)
    return tally


def _count_difference(
    tally: Tally, sensor: str, required: Sequence[int], values: Sequence[int], spare: Counter[int]
) -> None:
    """Count one stretch: as many as stand on both sides are pairs of differing values, the rest is lost or too much."""
    paired = min(len(required), len(values))
    tally.counts["mismatched"] += paired
    tally.counts["found"] += paired
    for value in required[paired:]:
        tally.lose(f"{sensor} value {value}")
    for value in values[paired:]:
        if spare[value]:
            spare[value] -= 1
        else:
            tally.counts["unexpected"] += 1


def _bpm_truth(lines: Iterable[HeartLine]) -> dict[str, list[Token]]:
    by_sensor: dict[str, list[Token]] = defaultdict(list)
    for line in lines:
        if line.fault != "corrupt":
            by_sensor[line.sensor].append(Token(line.bpm, _may_be_absent(line)))
    return by_sensor


def _rr_truth(lines: Iterable[HeartLine]) -> dict[str, list[Token]]:
    by_sensor: dict[str, list[Token]] = defaultdict(list)
    for line in lines:
        if line.fault != "corrupt":
            by_sensor[line.sensor] += [Token(rr, _may_be_absent(line)) for rr in line.rr_1024]
    return by_sensor


def _may_be_absent(line: HeartLine) -> bool:
    return line.fault == "duplicate" or line.acked is False


def _found(rows: pa.Table, lines: Sequence[HeartLine], *, quantity: str, per_unit: float) -> Found:
    """Return by strap the values in the gateway's order, in whole units of the strap, within the run's time."""
    if not lines:
        return {}
    first_ns, last_ns = lines[0].t_ns - _MARGIN_NS, lines[-1].t_ns + _MARGIN_NS
    time_ns = rows["time_ns"].to_numpy()
    values = rows[quantity].to_numpy(zero_copy_only=False) * per_unit
    rows = rows.filter(pa.array((time_ns >= first_ns) & (time_ns <= last_ns) & np.isfinite(values)))
    by_sensor: dict[str, list[tuple[str, int, int, int]]] = defaultdict(list)
    columns = [rows[name].to_pylist() for name in ("sensor", "origin", "sequence", "time_ns", quantity)]
    for sensor, origin, sequence, at_ns, value in zip(*columns, strict=True):
        by_sensor[sensor].append((origin, sequence, at_ns, round(value * per_unit)))
    return {sensor: _in_order(found) for sensor, found in by_sensor.items()}


def _in_order(found: list[tuple[str, int, int, int]]) -> tuple[list[int], int]:
    """Return values ordered by the origin's first time, then by its count, each identity once, and the repetitions."""
    began: dict[str, int] = {}
    for origin, _, at_ns, _ in found:
        began[origin] = min(at_ns, began.get(origin, at_ns))
    once = {(began[origin], origin, sequence): value for origin, sequence, _, value in found}
    return [once[key] for key in sorted(once)], len(found) - len(once)


def _rows(layout: Layout, stream: str) -> pa.Table:
    name, root = readings_table(stream), str(layout.tables)
    return read_table(root, name, int(open_table(root, name).version()))
