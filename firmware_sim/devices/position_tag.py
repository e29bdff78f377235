"""A position tag: JSON messages over MQTT, ten times a second.

Profile: topic `sideline/tags/<sensor>/position`, QoS 1; `boot` names the power-on, `n` counts messages since then.
"""

from dataclasses import dataclass

_BATTERY_EVERY = 100
_DRAIN_PER_MESSAGE = 1.0 / 6000.0


def position_topic(sensor: str) -> str:
    """Return the topic that a tag publishes its positions on."""
    return f"sideline/tags/{sensor}/position"


def encode_position(
    *, boot: str, n: int, t_ns: int, x_mm: int, y_mm: int, quality: int, battery: int | None = None
) -> bytes:
    """Return the message body; `quality` and `battery` are percentages, `boot` eight hexadecimal digits."""
    tail = "" if battery is None else f',"battery":{battery}'
    text = f'{{"boot":"{boot}","n":{n},"t_ns":{t_ns},"x_mm":{x_mm},"y_mm":{y_mm},"quality":{quality}{tail}}}'
    return text.encode("ascii")


@dataclass(slots=True, kw_only=True)
class PositionTag:
    """One tag since its power-on: `n` is the next message's number."""

    sensor: str
    boot: str
    battery_percent: float
    n: int = 0

    def next_body(self, *, t_ns: int, x_mm: int, y_mm: int, quality: int) -> bytes:
        """Encode the next message and count it."""
        battery = round(self.battery_percent) if self.n % _BATTERY_EVERY == 0 else None
        body = encode_position(
            boot=self.boot, n=self.n, t_ns=t_ns, x_mm=x_mm, y_mm=y_mm, quality=quality, battery=battery
        )
        self.n = (self.n + 1) & 0xFFFFFFFF
        self.battery_percent = max(1.0, self.battery_percent - _DRAIN_PER_MESSAGE)
        return body
