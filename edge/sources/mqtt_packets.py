"""What both versions of MQTT have in common: kinds of packets, lengths, and what a version must be able to say. Pure.

Sections are those of MQTT 5.0; the same bytes stand in 3.1.1 where nothing else is said.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import SourceError

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
SUBACK: Final = 0x90
PINGRESP: Final = 0xD0
DISCONNECT: Final = 0xE0
PINGREQ: Final = b"\xc0\x00"

# §1.5.5: a length has four bytes at most.
_LENGTH_BYTES = 4
_PUBACK = 0x40020000


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects, and how."""

    client_id: str
    username: str | None
    password: str | None
    keep_alive_s: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker says to a CONNECT; `problem` is None where it accepts."""

    problem: str | None = None
    other_version: bool = False
    """It does not speak this version, as far as one can tell."""
    keep_alive_s: int | None = None
    """What it asks for in place of ours (§3.2.2.3.14)."""


class Dialect(Protocol):
    """One version of MQTT: the packets that differ."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def has_properties(self) -> bool: ...  # noqa: D102
    @property
    def patience_s(self) -> float:
        """How long to wait for the answer to a CONNECT."""

    @property
    def disconnect(self) -> bytes:
        """A normal end (§3.14)."""

    def connect(self, login: Login) -> bytes:
        """Return a CONNECT that resumes the session."""

    def subscribe(self, filters: Sequence[str]) -> bytes:
        """Return a SUBSCRIBE at QoS 1."""

    def answer(self, packet: bytes) -> Answer:
        """Read a CONNACK. Raises: SourceError when it is malformed."""

    def refused(self, packet: bytes) -> list[str | None]:
        """Read a SUBACK: for each filter what is wrong, or None. Raises: SourceError when it is malformed."""

    def farewell(self, packet: bytes) -> str:
        """Return why the broker ended the connection. Raises: SourceError when its DISCONNECT is malformed."""


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return the length that stands at `at` and where it ends; an end of 0 means that more bytes must come first.

    Raises: SourceError for a length that never ends.
    """
    length = shift = 0
    for place in range(at, min(at + _LENGTH_BYTES, len(data))):
        byte = data[place]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length, place + 1
        shift += 7
    if len(data) - at >= _LENGTH_BYTES:
        raise malformed("length")
    return 0, 0


def write_length(length: int) -> bytes:
    """Return a length as it stands before the rest of a packet."""
    out = bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def acknowledgements(packet_ids: NDArray[np.int64]) -> bytes:
    """Return one PUBACK (§3.4) for each id, in order."""
    return (packet_ids | _PUBACK).astype(">u4").tobytes()


def malformed(what: str) -> SourceError:
    """Return the error of a broker whose bytes do not follow the protocol."""
    return SourceError("broker", f"sent a malformed {what}")
