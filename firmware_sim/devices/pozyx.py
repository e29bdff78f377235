"""Pozyx tags behind their own gateway: JSON arrays on `tags`, one packet a tag (docs.pozyx.io, MQTT 2.0)."""

import json
from dataclasses import dataclass

TOPIC = "tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """What one tag sent: coordinates in whole mm, or None when it was heard but not located; acceleration in mg."""

    tag: str
    t_s: float
    x_y_z_mm: tuple[int, int, int] | None
    acceleration_mg: tuple[int, int, int] | None = None


def encode_fixes(fixes: list[Fix], *, blink: int = 0, latency_ms: int = 28) -> bytes:
    """Return the body of one message with a packet for each fix."""
    return json.dumps([_packet(fix, blink, latency_ms) for fix in fixes], separators=(",", ":")).encode("ascii")


def _packet(fix: Fix, blink: int, latency_ms: int) -> dict[str, object]:
    rates = {"success": 0.76, "update": 1.04, "packetLoss": 0}
    body: dict[str, object] = {"metrics": {"latency": latency_ms, "rates": rates}}
    tag_part: dict[str, object] = {"blinkIndex": blink}
    if fix.acceleration_mg is not None:
        tag_part["acceleration"] = dict(zip("xyz", fix.acceleration_mg, strict=True))
    body["tagData"] = tag_part
    if fix.x_y_z_mm is not None:
        body["coordinates"] = dict(zip("xyz", fix.x_y_z_mm, strict=True))
    return {
        "version": "2.0",
        "tagId": fix.tag,
        "timestamp": fix.t_s,
        "success": fix.x_y_z_mm is not None,
        "data": body,
    }
