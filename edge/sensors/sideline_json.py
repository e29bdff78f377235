"""Our JSON for any stream, and with a mapping other people's flat JSON: docs/mqtt.md, "Our JSON".

Body: `{"t_ns" or "t", "boot", "n", "<quantity>": value, ...}`: `t_ns` UTC in ns or `t` in s; `boot` names the device's
power-on and `n` counts its messages in it, both or neither. Quantities measured together make one row of each stream
that they belong to. A null is a value that was not measured. With a mapping every other name is left alone.
"""

import re
from typing import Final

import msgspec

from edge.sensors.base import Decoded, Sensor
from edge.sensors.fields import QUANTITIES, number, read_json, rows_of, seconds_ns, whole_ns
from edge.sensors.mapping import FIELDS, targets_of
from shared.errors import DecodeError

_MAX_NAMES: Final = 256
_BOOT: Final = re.compile(r"[0-9a-f]{8}")
_decoder = msgspec.json.Decoder(dict[str, object])


class SidelineJson(Sensor):
    """Any quantity of ours with the device's own count and time."""

    name = "sideline_json"
    channels = ("sideline+json",)
    topics = (("sideline/sensors/{sensor}/#", "sideline+json"),)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one row per stream that the quantities belong to."""
        said = read_json(_decoder, body, "an object of named values")
        if len(said) > _MAX_NAMES:
            raise DecodeError("an object with too many names")
        targets = targets_of(channel, fields=True)
        if targets:
            said = {
                quantity: said[name] if scale == 1 or said[name] is None else number(said[name]) * scale
                for name, (quantity, scale) in targets.items()
                if name in said
            }
        elif unknown := said.keys() - QUANTITIES - FIELDS:
            raise DecodeError(f"no quantity of ours: {min(unknown)[:24]!a}")
        boot, sequence = _count(said)
        values = {name: number(value) for name, value in said.items() if name not in FIELDS and value is not None}
        if not values:
            raise DecodeError("an object without a value")
        time_ns = _time_ns(said)
        return tuple(
            Decoded(stream=stream, rows=(row,), origin=boot, sequence=sequence, device_ns=time_ns)
            for stream, row in rows_of(values)
        )


def _count(said: dict[str, object]) -> tuple[str | None, int | None]:
    boot, count = said.get("boot"), said.get("n")
    if boot is None and count is None:
        return None, None
    if not isinstance(boot, str) or not _BOOT.fullmatch(boot):
        raise DecodeError("boot is not eight hexadecimal digits")
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**32:
        raise DecodeError("n is not a count")
    return boot, count


def _time_ns(said: dict[str, object]) -> int | None:
    time_ns, seconds = said.get("t_ns"), said.get("t")
    if time_ns is not None:
        if isinstance(time_ns, bool) or not isinstance(time_ns, int):
            raise DecodeError("t_ns is not a whole number")
        return whole_ns(time_ns, 1)
    return None if seconds is None else seconds_ns(number(seconds))
