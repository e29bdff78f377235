"""A DWM1001 tag behind its gateway: location retained on one topic, status on another (docs.leapslabs.com)."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Dwm1001:
    """One tag; `node` is four hexadecimal digits on the gateway's side."""

    node: str
    superframe: int = 0
    nested: bool = False
    """Some gateways wrap the position once more."""

    @property
    def location_topic(self) -> str:
        """Where positions go."""
        return f"dwm/node/{self.node}/uplink/location"

    @property
    def status_topic(self) -> str:
        """Where presence and charge go."""
        return f"dwm/node/{self.node}/uplink/status"

    def location(self, x_m: float | None, y_m: float | None, *, z_m: float = 0.9, quality: int = 72) -> bytes:
        """Return a location; an unsolved one says "NaN"."""
        x, y = ('"NaN"' if value is None else repr(value) for value in (x_m, y_m))
        position = f'{{"position":{{"x":{x},"y":{y},"z":{z_m!r},"quality":{quality}}}'
        self.superframe = (self.superframe + 1) % 256
        if self.nested:
            return f'{{"location":{position}}}}}'.encode("ascii")
        return f'{position},"superFrameNumber":{self.superframe}}}'.encode("ascii")

    def status(self, *, present: bool, battery: int, t_us: int) -> bytes:
        """Return a status; its time is the text of a count of microseconds."""
        word = "true" if present else "false"
        return (f'{{"present":{word},"downlink":{word},"batt":{battery},"temp":25,"timestamp":"{t_us}"}}').encode(
            "ascii"
        )
