"""A home-made device or a questionnaire that speaks our JSON: docs/mqtt.md, "Our JSON"."""

import json
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class JsonDevice:
    """One device since its power-on: `n` is the next message's number, `boot` eight hexadecimal digits."""

    sensor: str
    boot: str
    n: int = 0

    def topic(self, stream: str) -> str:
        """Return where a stream's values go; the word behind the sensor is for people."""
        return f"sideline/sensors/{self.sensor}/{stream}"

    def next_body(self, *, t_ns: int, values: dict[str, float | None]) -> bytes:
        """Encode what was measured at one time, by the names of the quantities, and count it."""
        message = {"t_ns": t_ns, "boot": self.boot, "n": self.n, **values}
        self.n = (self.n + 1) & 0xFFFFFFFF
        return json.dumps(message, separators=(",", ":")).encode("ascii")


def flat_body(values: dict[str, object]) -> bytes:
    """Return another maker's flat JSON."""
    return json.dumps(values).encode("utf-8")
