"""MQTT 3.1.1's own packets, for brokers that know nothing newer. Pure.

Sections are those of MQTT 3.1.1. How much may be unacknowledged at once is here the broker's to say.
"""

from collections.abc import Sequence

from edge.sources.mqtt_packets import Answer, Login, malformed, write_length

_CONNECT, _SUBSCRIBE = b"\x10", b"\x82"
_PROTOCOL = b"\x00\x04MQTT\x04"
# §3.1.2.3; without "clean session" the broker keeps what is not acknowledged.
_WITH_USERNAME, _WITH_PASSWORD = 0x80, 0x40
_FAILURE = 0x80
# §3.2.2.3
_ACCEPTED, _WRONG_VERSION = 0, 1
_WORDS = {
    2: "refused the client id",
    3: "is not available",
    4: "refused the user name or password",
    5: "refused the user name or password",
}


class Mqtt311:
    """MQTT 3.1.1; implements `edge.sources.mqtt_packets.Dialect`."""

    name = "3.1.1"
    has_properties = False
    patience_s = 10.0
    disconnect = b"\xe0\x00"

    def connect(self, login: Login) -> bytes:
        """Return a CONNECT that resumes the session (§3.1)."""
        flags, fields = 0, [_text(login.client_id)]
        if login.username is not None:
            flags |= _WITH_USERNAME
            fields.append(_text(login.username))
            if login.password is not None:  # §3.1.2.9: no password without a name
                flags |= _WITH_PASSWORD
                fields.append(_text(login.password))
        head = _PROTOCOL + bytes([flags]) + login.keep_alive_s.to_bytes(2, "big")
        return _packet(_CONNECT, head + b"".join(fields))

    def subscribe(self, filters: Sequence[str]) -> bytes:
        """Return a SUBSCRIBE at QoS 1 (§3.8)."""
        return _packet(_SUBSCRIBE, b"\x00\x01" + b"".join(_text(one) + b"\x01" for one in filters))

    def answer(self, packet: bytes) -> Answer:
        """Read a CONNACK (§3.2)."""
        if len(packet) != 4:
            raise malformed("CONNACK")
        code = packet[3]
        if code == _ACCEPTED:
            return Answer()
        if code == _WRONG_VERSION:
            return Answer(problem="speaks neither MQTT 5 nor 3.1.1", other_version=True)
        return Answer(problem=_WORDS.get(code, f"refused the gateway with code {code}"))

    def refused(self, packet: bytes) -> list[str | None]:
        """Read a SUBACK (§3.9); its length fits one byte unless there are over a hundred filters."""
        start = 2 if packet[1] < 0x80 else 3
        return ["refused" if code == _FAILURE else None for code in packet[start + 2 :]]

    def farewell(self, packet: bytes) -> str:
        """A broker of this version closes without a word."""
        raise malformed(f"packet of kind {packet[0] >> 4}")


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def _packet(kind: bytes, rest: bytes) -> bytes:
    return kind + write_length(len(rest)) + rest
