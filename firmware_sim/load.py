"""A load generator: position messages at QoS 1 as fast as asked."""

import asyncio
import contextlib

import msgspec

from firmware_sim.devices.position_tag import encode_position, position_topic
from firmware_sim.roster import tag_id
from firmware_sim.transports.mqtt import IN_FLIGHT, MqttPublisher
from shared.clock import NS_PER_S, Clock
from shared.errors import SourceError

DRAIN_S = 10.0
_TURN_S = 0.01
_LARGEST_TURN = 500


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to send and where; `rate_hz` 0 means as fast as it goes."""

    rate_hz: int
    seconds: float
    tags: int
    broker_host: str
    broker_port: int
    connect_s: float = 5.0


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was reached; `limited_by_generator` says that the wanted rate was missed without waiting for the broker."""

    wanted_per_s: int
    sent: int
    sent_per_s: float
    acked: int
    acked_per_s: float
    seconds: float
    limited_by_generator: bool


class _Sender:
    """Sends message `k` from tag `k % tags`, each tag on a circle."""

    def __init__(self, settings: LoadSettings, clock: Clock) -> None:
        self._clock = clock
        self._topics = [position_topic(tag_id(index)) for index in range(settings.tags)]
        self._boot = clock.boot_id[:8]
        self.sent = self.acked = 0

    def send(self, publisher: MqttPublisher, count: int) -> None:
        """Publish the next `count` messages."""
        t_ns = self._clock.utc_ns()
        tags = len(self._topics)
        for k in range(self.sent, self.sent + count):
            n, tag = divmod(k, tags)
            x_mm, y_mm = 1000 + (n * 37 + tag * 1711) % 103_000, 1000 + (n * 23 + tag * 1109) % 66_000
            body = encode_position(boot=self._boot, n=n, t_ns=t_ns, x_mm=x_mm, y_mm=y_mm, quality=95)
            publisher.publish(self._topics[tag], body, k)
        self.sent += count

    def acknowledge(self, _ticket: int) -> None:
        """Count one PUBACK."""
        self.acked += 1


async def run_load(settings: LoadSettings, clock: Clock) -> LoadReport:
    """Publish for `seconds`, then wait for the last PUBACKs.

    Raises: SourceError when the broker does not answer.
    """
    sender = _Sender(settings, clock)
    publisher = MqttPublisher(
        host=settings.broker_host,
        port=settings.broker_port,
        identifier=f"sideline-load-{clock.boot_id}",
        clock=clock,
        on_acked=sender.acknowledge,
        on_given_up=lambda _ticket: None,
    )
    connection = asyncio.create_task(publisher.run(), name="mqtt")
    try:
        await _connect(publisher, settings)
        begin_ns = clock.mono_ns()
        waited = await _send_all(sender, publisher, settings, clock)
        sent_s = (clock.mono_ns() - begin_ns) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(publisher.settled(), DRAIN_S)
        total_s = (clock.mono_ns() - begin_ns) / NS_PER_S
    finally:
        connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connection
    return LoadReport(
        wanted_per_s=settings.rate_hz,
        sent=sender.sent,
        sent_per_s=round(sender.sent / sent_s, 1),
        acked=sender.acked,
        acked_per_s=round(sender.acked / total_s, 1),
        seconds=round(total_s, 3),
        limited_by_generator=not waited and sender.sent < 0.98 * settings.rate_hz * settings.seconds,
    )


async def _connect(publisher: MqttPublisher, settings: LoadSettings) -> None:
    try:
        await asyncio.wait_for(publisher.connected.wait(), settings.connect_s)
    except TimeoutError as exc:
        where = f"broker {settings.broker_host}:{settings.broker_port}"
        raise SourceError(where, f"no answer within {settings.connect_s:g} s") from exc


async def _send_all(sender: _Sender, publisher: MqttPublisher, settings: LoadSettings, clock: Clock) -> bool:
    """Send in turns of 10 ms; return True when the broker's PUBACKs held the sender up."""
    begin_ns, waited = clock.mono_ns(), False
    while (elapsed_s := (clock.mono_ns() - begin_ns) / NS_PER_S) < settings.seconds:
        behind = int(elapsed_s * settings.rate_hz) - sender.sent if settings.rate_hz else _LARGEST_TURN
        room = IN_FLIGHT - publisher.unacked
        waited = waited or room <= 0
        turn = min(behind, room, _LARGEST_TURN)
        if turn > 0:
            sender.send(publisher, turn)
        await clock.sleep(0.0 if turn == _LARGEST_TURN else _TURN_S)
    return waited
