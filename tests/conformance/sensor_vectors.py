"""A sensor's own vectors, tests/vectors/<name>.json, and what was decoded in their words.

`{"valid": [...], "malformed": [...]}`, each `{"what", "channel", "hex" or "text"}`. A valid one has `decoded`, a list
of `{"stream", "rows"}` with `origin`, `sequence`, `device_ns`, `clock` ("utc"), `period_ns` (0), `quality` (0) and
`sensor` where they are not the usual, or of `{"facts": {...}}` with `sensor`. `before` lists frames that the same
device sent first, as `{"hex"}` or `{"text"}` with `channel` where it is another.
"""

import json
import math
from typing import Any

import pytest

from edge.sensors.base import About, Decoded, Sensor
from shared.quantities import STREAMS
from tests.tools import ROOT

VECTORS = ROOT / "tests" / "vectors"
_DEFAULTS = {
    "origin": None,
    "sequence": None,
    "device_ns": None,
    "clock": "utc",
    "period_ns": 0,
    "quality": 0,
    "row_quality": [],
    "sensor": None,
}
Parts = tuple[Decoded | About, ...]


def vectors(sensor: Sensor) -> dict[str, Any]:
    """Return a sensor's own vectors."""
    path = VECTORS / f"{sensor.name}.json"
    assert path.is_file(), f"a sensor needs its vectors: {path.relative_to(ROOT)}"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def body_of(vector: dict[str, Any]) -> bytes:
    """Return a vector's bytes."""
    return vector["text"].encode("utf-8") if "text" in vector else bytes.fromhex(vector["hex"])


def memory_before(sensor: Sensor, vector: dict[str, Any]) -> Any:
    """Return the memory of a device that sent what the vector says came before."""
    memory = sensor.start()
    for frame in vector.get("before", ()):
        sensor.decode(frame.get("channel", vector["channel"]), body_of(frame), memory)
    return memory


def decoded_of(sensor: Sensor, vector: dict[str, Any]) -> Parts:
    """Return what a vector decodes to."""
    return sensor.decode(vector["channel"], body_of(vector), memory_before(sensor, vector))


def told(parts: Parts) -> list[dict[str, Any]]:
    """Return what was decoded in the words of the vectors, NaN as null."""
    return [
        {"facts": dict(part.facts), "sensor": part.sensor}
        if isinstance(part, About)
        else {
            "stream": part.stream,
            "rows": [[None if math.isnan(value) else value for value in row] for row in part.rows],
            "origin": part.origin,
            "sequence": part.sequence,
            "device_ns": part.device_ns,
            "clock": str(part.clock),
            "period_ns": part.period_ns,
            "quality": int(part.quality),
            "row_quality": list(part.row_quality),
            "sensor": part.sensor,
        }
        for part in parts
    ]


def expected(vector: dict[str, Any]) -> list[Any]:
    """Return a vector's result with what it leaves out; numbers agree to the last digits of a float."""
    return [
        {"sensor": None, **part}
        if "facts" in part
        else {**_DEFAULTS, **part, "rows": [[_about(value) for value in row] for row in part["rows"]]}
        for part in vector["decoded"]
    ]


def check_form(parts: Parts) -> None:
    """Fail unless rows fit their stream and values are numbers; a frame may say nothing yet."""
    for part in parts:
        if isinstance(part, About):
            assert part.facts
            assert all(name and value and (name + value).isprintable() for name, value in part.facts)
            continue
        assert part.rows
        assert (part.origin is None) == (part.sequence is None)
        assert 0 <= part.quality < 256
        assert len(part.row_quality) in (0, len(part.rows))
        assert part.device_ns is None or -(2**63) < part.device_ns < 2**63
        assert part.period_ns >= 0
        for row in part.rows:
            assert type(row) is tuple
            assert len(row) == len(STREAMS[part.stream].quantities)
            assert all(type(value) is float and not math.isinf(value) for value in row)


def _about(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)
