"""Identifiers: opaque, random where we make them, never a person's name.

`parse_*` raises ConfigError on text that is not such an id; the NewTypes keep one kind from being passed for another.
"""

import re
import secrets
from typing import NewType

from shared.errors import ConfigError

SensorId = NewType("SensorId", str)
AthleteId = NewType("AthleteId", str)
GatewayId = NewType("GatewayId", str)
Epoch = NewType("Epoch", str)

BALL = AthleteId("ball")
"""The ball wears a position tag too; it is in no roster's list of athletes."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}")
_HEX = re.compile(r"[0-9a-f]{16}")


def parse_sensor_id(text: str) -> SensorId:
    """Return `text` as a sensor id: 1..64 letters, digits, `: . _ -` (a BLE address or a tag's own name)."""
    return SensorId(_parse("sensor", text))


def parse_athlete_id(text: str) -> AthleteId:
    """Return `text` as an athlete id."""
    return AthleteId(_parse("athlete", text))


def parse_gateway_id(text: str) -> GatewayId:
    """Return `text` as a gateway id."""
    return GatewayId(_parse("gateway", text))


def parse_epoch(text: str) -> Epoch:
    """Return `text` as a database epoch: 16 hexadecimal digits."""
    if not _HEX.fullmatch(text):
        raise ConfigError("epoch", f"{text!r} is not 16 hexadecimal digits")
    return Epoch(text)


def new_epoch() -> Epoch:
    """Make the epoch of a new database, so that a restored copy can be told from it."""
    return Epoch(secrets.token_hex(8))


def new_token() -> str:
    """Make a bearer token."""
    return secrets.token_urlsafe(32)


def _parse(kind: str, text: str) -> str:
    if not _ID.fullmatch(text):
        raise ConfigError(kind, f"{text!r} is not an id (1-64 letters, digits, ':', '.', '_', '-')")
    return text
