"""A live run: straps on the air, tags on the broker, until the time is up or somebody stops it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firmware_sim.also import speak_on
from firmware_sim.devices.kinds import addresses_of, maker
from firmware_sim.emitter import Emitter, make_tags
from firmware_sim.faults import FaultRates
from firmware_sim.session import Session
from firmware_sim.transports.bumble import Air
from firmware_sim.transports.mqtt import MqttPublisher
from firmware_sim.truth import Summary, Truth
from shared.clock import NS_PER_S, Clock
from shared.log import get_logger

DRAIN_S = 3.0
AIR_S = 0.1
"""Notifications already sent need a few turns of the loop to cross the air and reach the TCP socket."""

_log = get_logger("live")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """Where a live run listens, publishes and writes; `seconds` 0 runs for ever."""

    seed: int
    seconds: float
    broker_host: str
    broker_port: int
    hci_host: str
    hci_port: int
    faults: FaultRates
    truth_path: Path | None
    ready_path: Path | None
    hci_adapters: int = 1
    also: tuple[str, ...] = ()
    """Kinds of sensors beside the squad's; they are not in the truth file."""


async def run_live(session: Session, settings: LiveSettings, clock: Clock) -> Summary:
    """Emit until the time is up, SIGTERM or SIGINT; then wait for outstanding PUBACKs and close the truth file.

    Raises: SourceError when the HCI port cannot be opened.
    """
    began_ns = clock.mono_ns()
    if settings.ready_path is not None:
        settings.ready_path.unlink(missing_ok=True)
    with Truth(settings.truth_path) as truth:
        publisher = MqttPublisher(
            host=settings.broker_host,
            port=settings.broker_port,
            identifier=f"sideline-sim-{clock.boot_id}",
            clock=clock,
            on_acked=truth.acked,
            on_given_up=truth.given_up,
        )
        async with Air(host=settings.hci_host, port=settings.hci_port, adapters=settings.hci_adapters) as air:
            connection = asyncio.create_task(publisher.run(), name="mqtt")
            emission = asyncio.create_task(
                _emit(session, settings, clock, truth=truth, publisher=publisher, air=air), name="emission"
            )
            try:
                with _stopping(emission):
                    await _first(emission, connection)
                await clock.sleep(AIR_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(publisher.settled(), DRAIN_S)
                _log.info("stopped", unacked=publisher.unacked)
            finally:
                await _cancel(emission)
                await _cancel(connection)
    return truth.summary(seconds=(clock.mono_ns() - began_ns) / NS_PER_S)


async def _emit(
    session: Session, settings: LiveSettings, clock: Clock, *, truth: Truth, publisher: MqttPublisher, air: Air
) -> None:
    """Put the straps on the air, wait for the broker, say that all is ready, and emit."""
    for index, address in enumerate(session.straps):
        await air.add_strap(address, battery_percent=97 - 7 * (index % 9))
    others = [
        await air.add(address, maker(kind, address, battery_percent=90))
        for kind, address in zip(settings.also, addresses_of(settings.also), strict=True)
    ]
    await publisher.connected.wait()
    _log.info("ready", hci_port=air.port, tags=len(session.tags), straps=len(session.straps))
    if settings.ready_path is not None:
        _write_ready(settings.ready_path, air.ports)
    emitter = Emitter(
        session=session,
        tags=make_tags(session.tags, settings.seed, clock.utc_ns()),
        straps=air.straps,
        publisher=publisher,
        truth=truth,
        faults=settings.faults,
        seed=settings.seed,
        clock=clock,
    )
    speaking = asyncio.create_task(speak_on(others, clock), name="other sensors")
    try:
        await emitter.run(settings.seconds)
    finally:
        await _cancel(speaking)


def _write_ready(path: Path, hci_ports: list[int]) -> None:
    """Write {"hci_port", "hci_ports", "pid"} whole or not at all; the one port is the first."""
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(
        msgspec.json.encode({"hci_port": hci_ports[0], "hci_ports": hci_ports, "pid": os.getpid()}) + b"\n"
    )
    draft.replace(path)


@contextlib.contextmanager
def _stopping(task: asyncio.Task[None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT cancel the task."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first(emission: asyncio.Task[None], connection: asyncio.Task[None]) -> None:
    """Wait for the emission to end or be stopped; a connection task that dies first raises its error."""
    done, _ = await asyncio.wait((emission, connection), return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        if not task.cancelled():
            task.result()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
