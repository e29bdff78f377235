"""A gateway's Bluetooth source over bleak's own BlueZ backend, on a fake `org.bluez` of its own."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bleak.backends.bluezdbus.manager import get_global_bluez_manager

from edge.settings import BleSettings
from edge.sources.ble import BleSource
from shared.clock import Clock, SystemClock
from shared.ids import SensorId
from tests.fakes.bluez.bus import private_bus
from tests.fakes.bluez.service import FakeBlueZ
from tests.tools import BOUND_S, require_tool

_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"


@contextlib.asynccontextmanager
async def bluez(folder: Path, *adapters: str) -> AsyncIterator[FakeBlueZ]:
    """Run a bus and a Bluetooth service with these adapters, and point the system's bus at it."""
    with private_bus(require_tool("dbus-daemon"), folder) as address, _system_bus(address):
        async with FakeBlueZ(address) as service:
            for adapter in adapters or ("hci0",):
                service.add_adapter(adapter)
            try:
                yield service
            finally:
                manager = await get_global_bluez_manager()
                if manager._bus is not None:  # bleak keeps it for the loop's whole life
                    manager._bus.disconnect()
                    if manager._bus_watcher_task is not None:
                        await asyncio.wait({manager._bus_watcher_task})


@contextlib.contextmanager
def _system_bus(address: str) -> Iterator[None]:
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


@contextlib.asynccontextmanager
async def gateway(
    settings: BleSettings, *, strangers: tuple[str, ...] = (), clock: Clock | None = None
) -> AsyncIterator[BleSource]:
    """Run a gateway's source; everybody but the strangers is on its roster."""

    def is_wanted(sensor: SensorId) -> bool:
        return sensor not in strangers

    source = BleSource(settings, is_wanted, clock or SystemClock())
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
        assert task.cancelled()
