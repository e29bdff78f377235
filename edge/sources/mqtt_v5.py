"""MQTT 5.0's own packets. The one file that knows mqtt5.

Only what a broker writes itself comes here: mqtt5 0.8.0 panics on text that is not UTF-8, which in a PUBLISH any device
could send.
"""

from collections.abc import Sequence

import mqtt5
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode

from edge.sources.mqtt_packets import Answer, Login, malformed

# What may be unacknowledged at once (§3.1.2.11.3): more than comes within a commit interval at 100,000 messages a
# second; with bodies of 200 bytes some 12 MB. mosquitto takes it in place of its own max_inflight_messages.
_RECEIVE_MAX = 20_000
# A gateway that stays switched off for longer than this is not waited for (§3.1.2.11.2).
_SESSION_S = 8 * 7 * 86_400
# By number: mqtt5's codes cannot be hashed and have no names.
_WORDS = {
    int(ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD): "refused the user name or password",
    int(ConnAckReasonCode.NOT_AUTHORIZED): "refused the user name or password",
    int(ConnAckReasonCode.CLIENT_ID_NOT_VALID): "refused the client id",
    int(ConnAckReasonCode.SERVER_UNAVAILABLE): "is not available",
    int(ConnAckReasonCode.SERVER_BUSY): "is busy",
    int(ConnAckReasonCode.BANNED): "has banned this gateway",
}
_ENDS = {
    int(DisconnectReasonCode.SESSION_TAKEN_OVER): "gave the session to another client with the same id",
    int(DisconnectReasonCode.SERVER_SHUTTING_DOWN): "is shutting down",
    int(DisconnectReasonCode.KEEP_ALIVE_TIMEOUT): "heard nothing from the gateway",
    int(DisconnectReasonCode.NOT_AUTHORIZED): "withdrew the permission",
}
_FAILURE = 0x80
_REFUSED = {
    int(mqtt5.SubAckReasonCode.NOT_AUTHORIZED): "not authorized",
    int(mqtt5.SubAckReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED): "it has no wildcards",
}


class Mqtt5:
    """MQTT 5.0; implements `edge.sources.mqtt_packets.Dialect`."""

    name = "5.0"
    has_properties = True
    # One that speaks 3.1.1 only may wait for more bytes instead of refusing: amqtt 0.12 does.
    patience_s = 3.0
    disconnect = mqtt5.DisconnectPacket().write()

    def connect(self, login: Login) -> bytes:
        """Return a CONNECT that resumes the session."""
        return mqtt5.ConnectPacket(
            login.client_id,
            username=login.username,
            password=None if login.password is None else login.password.encode(),
            clean_start=False,
            keep_alive=login.keep_alive_s,
            session_expiry_interval=_SESSION_S,
            receive_max=_RECEIVE_MAX,
        ).write()

    def subscribe(self, filters: Sequence[str]) -> bytes:
        """Return a SUBSCRIBE; what is published from now on does not come marked as retained (§3.8.3.1)."""
        wanted = [mqtt5.TopicFilter(one, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_as_published=False) for one in filters]
        return mqtt5.SubscribePacket(1, wanted).write()

    def answer(self, packet: bytes) -> Answer:
        """Read a CONNACK; one of 3.1.1 with its code 1 has two bytes less."""
        if packet == b"\x20\x02\x00\x01":
            return Answer(problem="does not speak MQTT 5", other_version=True)
        found = _read(packet, "CONNACK")
        if not isinstance(found, mqtt5.ConnAckPacket):
            raise malformed("CONNACK")
        code = int(found.reason_code)
        if code == ConnAckReasonCode.SUCCESS:
            return Answer(keep_alive_s=found.server_keep_alive)
        problem = _WORDS.get(code) or f"refused the gateway: {found.reason_str or _coded(code)}"
        return Answer(problem=problem, other_version=code == ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION)

    def refused(self, packet: bytes) -> list[str | None]:
        """Read a SUBACK."""
        found = _read(packet, "SUBACK")
        if not isinstance(found, mqtt5.SubAckPacket):
            raise malformed("SUBACK")
        codes = [int(code) for code in found.reason_codes]
        return [_REFUSED.get(code, _coded(code)) if code >= _FAILURE else None for code in codes]

    def farewell(self, packet: bytes) -> str:
        """Return why the broker ended the connection (§3.14.2.1)."""
        found = _read(packet, "DISCONNECT")
        if not isinstance(found, mqtt5.DisconnectPacket):
            raise malformed("DISCONNECT")
        code = int(found.reason_code)
        return _ENDS.get(code) or f"ended the connection: {found.reason_str or _coded(code)}"


def _read(packet: bytes, what: str) -> mqtt5.Packet:
    try:
        return mqtt5.read(memoryview(packet))[0]
    except (ValueError, IndexError) as exc:
        raise malformed(what) from exc


def _coded(code: int) -> str:
    return f"reason 0x{code:02X}"
