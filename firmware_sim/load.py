"""A load generator: messages at QoS 1 over MQTT, positions as fast as asked or a whole squad's mix of sensors."""

import asyncio
import contextlib
from typing import Protocol

import msgspec

from firmware_sim.load_messages import Message, Mix, Positions
from firmware_sim.transports.mqtt_burst import MqttBurst
from shared.clock import NS_PER_S, Clock
from shared.errors import SourceError

DRAIN_S = 10.0
_TURN_S = 0.01
_LARGEST_TURN = 2000


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to send and where.

    `rate_hz` is of positions, 0 means as fast as it goes; with `mix` it does not count, and `tags` are athletes with
    three sensors each.
    """

    rate_hz: int
    seconds: float
    tags: int
    broker_host: str
    broker_port: int
    connect_s: float = 5.0
    mix: bool = False


class KindSent(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent of one kind: messages, and the readings in them."""

    messages: int
    readings: int


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was reached; `limited_by_generator` says that the wanted rate was missed without waiting for the broker."""

    wanted_per_s: int
    sent: int
    sent_per_s: float
    acked: int
    acked_per_s: float
    seconds: float
    limited_by_generator: bool
    kinds: dict[str, KindSent]


class _Plan(Protocol):
    """What is sent when: message k is one of a fixed order."""

    @property
    def rate_hz(self) -> int:
        """Messages a second; 0 for as many as go."""

    def due(self, elapsed_s: float) -> int:
        """Return how many messages have their time within the first `elapsed_s`."""

    def messages(self, first: int, count: int, t_ns: int) -> list[Message]:
        """Return the messages from `first` on, measured at `t_ns`."""

    def sent(self, count: int) -> dict[str, tuple[int, int]]:
        """Return the messages and readings of each kind in the first `count` messages."""


async def run_load(settings: LoadSettings, clock: Clock) -> LoadReport:
    """Publish for `seconds`, then wait for the last PUBACKs.

    Raises: SourceError when the broker does not answer.
    """
    boot = int(clock.boot_id[:8], 16)
    plan: _Plan = Mix(settings.tags, boot) if settings.mix else Positions(settings.rate_hz, settings.tags, boot)
    burst = MqttBurst(
        host=settings.broker_host,
        port=settings.broker_port,
        identifier=f"sideline-load-{clock.boot_id}",
        clock=clock,
    )
    connection = asyncio.create_task(burst.run(), name="mqtt")
    try:
        await _connect(burst, settings)
        begin_ns = clock.mono_ns()
        waited = await _send_all(plan, burst, settings.seconds, clock)
        sent_s = (clock.mono_ns() - begin_ns) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(burst.settled(), DRAIN_S)
        total_s = (clock.mono_ns() - begin_ns) / NS_PER_S
    finally:
        connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connection
    kinds = {
        kind: KindSent(messages=messages, readings=readings)
        for kind, (messages, readings) in plan.sent(burst.sent).items()
    }
    return LoadReport(
        wanted_per_s=plan.rate_hz,
        sent=burst.sent,
        sent_per_s=round(burst.sent / sent_s, 1),
        acked=burst.acked,
        acked_per_s=round(burst.acked / total_s, 1),
        seconds=round(total_s, 3),
        limited_by_generator=not waited and burst.sent < 0.98 * plan.rate_hz * settings.seconds,
        kinds=kinds,
    )


async def _connect(burst: MqttBurst, settings: LoadSettings) -> None:
    try:
        await asyncio.wait_for(burst.connected.wait(), settings.connect_s)
    except TimeoutError as exc:
        where = f"broker {settings.broker_host}:{settings.broker_port}"
        raise SourceError(where, f"no answer within {settings.connect_s:g} s") from exc


async def _send_all(plan: _Plan, burst: MqttBurst, seconds: float, clock: Clock) -> bool:
    """Send in turns of 10 ms; return True when the broker's PUBACKs held the sender up."""
    begin_ns, waited, over = clock.mono_ns(), False, False
    while not over:
        elapsed_s = (clock.mono_ns() - begin_ns) / NS_PER_S
        over = elapsed_s >= seconds
        if over and not plan.rate_hz:
            break
        behind = plan.due(min(elapsed_s, seconds)) - burst.sent if plan.rate_hz else _LARGEST_TURN
        waited = waited or burst.room <= 0
        turn = min(behind, burst.room, _LARGEST_TURN)
        if turn > 0:
            burst.send(plan.messages(burst.sent, turn, clock.utc_ns()))
        if not over:
            await clock.sleep(0.0 if turn == _LARGEST_TURN else _TURN_S)
    return waited
