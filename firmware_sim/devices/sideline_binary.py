"""A home-made device that speaks our binary: docs/mqtt.md, "Our binary"."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

# Stream's number and the steps per unit of each column, from the page's tables.
_STREAMS: dict[str, tuple[int, tuple[float, ...]]] = {
    "heart_rate": (1, (1, 1, 1)),
    "rr": (2, (1.024,)),
    "position": (3, (1000, 1000, 100)),
    "battery": (4, (1,)),
    "location": (5, (1e7, 1e7, 10, 10)),
    "speed": (6, (1000, 100, 2, 1000)),
    "gait": (7, (10, 100)),
    "cadence": (8, (100, 100)),
    "power": (9, (1, 100)),
    "machine": (10, (10, 10, 1000, 1)),
    "imu": (11, (1000, 1000, 1000, 10, 10, 10)),
    "ecg": (12, (1,)),
    "exertion": (13, (2,)),
}


@dataclass(slots=True, kw_only=True)
class BinaryDevice:
    """One device since its power-on; every stream has its own count."""

    sensor: str
    boot: int
    sequence: int = 0

    def topic(self, stream: str) -> str:
        """Return where a stream's blocks go; the word behind the sensor is for people."""
        return f"sideline/binary/{self.sensor}/{stream}"

    def next_body(
        self,
        stream: str,
        rows: Sequence[Sequence[float | None]],
        *,
        t_ns: int | None,
        period_ns: int,
        narrow: bool = False,
        own_clock: bool = False,
    ) -> bytes:
        """Encode rows, oldest first, `t_ns` being the last one's time; `narrow` packs 16 bits a value."""
        code, steps = _STREAMS[stream]
        flags = narrow | own_clock << 1 | (t_ns is None) << 2
        head = struct.pack("<4B", 1, code, flags, 0)
        head += struct.pack("<II", self.boot, self.sequence)
        head += struct.pack("<QI", t_ns or 0, period_ns)
        head += struct.pack("<HH", len(rows), len(steps))
        self.sequence += len(rows)
        size, nothing = (2, -(2**15)) if narrow else (4, -(2**31))
        return head + b"".join(
            (nothing if value is None else round(value * step)).to_bytes(size, "little", signed=True)
            for row in rows
            for value, step in zip(row, steps, strict=True)
        )
