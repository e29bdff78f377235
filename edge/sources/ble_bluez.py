"""An adapter of the system's own Bluetooth service (BlueZ): whether it is there and switched on, and when it goes.

bleak scans and connects through it, but says nothing when it is unplugged or switched off.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from bleak.exc import BleakError
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

_BLUEZ = "org.bluez"
_ADAPTER = "org.bluez.Adapter1"
_ANSWER_S = 5.0
_RULES = (
    "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/bluez'",
    "type='signal',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesRemoved'",
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'",
)


@contextlib.asynccontextmanager
async def watched(wanted: str | None) -> AsyncIterator[tuple[str, "asyncio.Future[None]"]]:
    """Yield an adapter's name (`hci0`) and a future that is done when it is switched off, unplugged or not served.

    `wanted` None takes the first that is switched on.
    Raises: BleakError when there is no such adapter, or it is off.
    """
    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        async with _watching(bus, wanted) as found:
            yield found
    finally:
        bus.disconnect()  # also where it never answered: it holds a socket from its making on


@contextlib.asynccontextmanager
async def _watching(bus: MessageBus, wanted: str | None) -> AsyncIterator[tuple[str, "asyncio.Future[None]"]]:
    try:
        async with asyncio.timeout(_ANSWER_S):
            await bus.connect()
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            for rule in _RULES:
                await _call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "AddMatch", "s", [rule])
            watch = _Watch(lost)
            bus.add_message_handler(watch.on_message)
            objects = await _call(bus, _BLUEZ, "/", "GetManagedObjects")
    except (AuthError, DBusError, InvalidAddressError, EOFError, OSError, TimeoutError) as exc:
        raise BleakError(f"system Bluetooth does not answer: {exc}") from exc
    ending = asyncio.create_task(_until_ended(bus, lost), name="bluetooth bus")
    try:
        watch.path = _find(objects, wanted)
        yield watch.path.rsplit("/", 1)[1], lost
    finally:
        bus.disconnect()
        await asyncio.wait({ending})


class _Watch:
    """Hears the bus for one adapter."""

    def __init__(self, lost: "asyncio.Future[None]") -> None:
        self.path = ""
        self._lost = lost

    def on_message(self, message: Message) -> None:
        """Notice the end of the adapter."""
        if message.message_type is not MessageType.SIGNAL or self._lost.done() or not self._ends(message):
            return
        self._lost.set_result(None)

    def _ends(self, message: Message) -> bool:
        if message.member == "PropertiesChanged" and message.path == self.path:
            interface, changed, _ = message.body
            return bool(interface == _ADAPTER and "Powered" in changed and not changed["Powered"].value)
        if message.member == "InterfacesRemoved":
            path, interfaces = message.body
            return path == self.path and _ADAPTER in interfaces
        if message.member == "NameOwnerChanged":
            name, _, _ = message.body
            return bool(name == _BLUEZ)
        return False


async def _until_ended(bus: MessageBus, lost: "asyncio.Future[None]") -> None:
    with contextlib.suppress(EOFError, OSError, DBusError):  # the bus itself went away
        try:
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # annotated only in part
        finally:
            if not lost.done():
                lost.set_result(None)


def _find(objects: dict[str, Any], wanted: str | None) -> str:
    adapters = {path: interfaces[_ADAPTER] for path, interfaces in objects.items() if _ADAPTER in interfaces}
    powered = [path for path in sorted(adapters) if adapters[path]["Powered"].value]
    if wanted is None:
        if not powered:
            raise BleakError("no Bluetooth adapter is switched on" if adapters else "there is no Bluetooth adapter")
        return powered[0]
    path = f"/org/bluez/{wanted}"
    if path not in adapters:
        raise BleakError(f"there is no Bluetooth adapter {wanted}")
    if path not in powered:
        raise BleakError(f"Bluetooth adapter {wanted} is switched off")
    return path


async def _call(  # the parts of a D-Bus call
    bus: MessageBus, service: str, path: str, member: str, signature: str = "", body: list[Any] | None = None
) -> Any:
    interface = service if service != _BLUEZ else "org.freedesktop.DBus.ObjectManager"
    reply = await bus.call(
        Message(
            destination=service, path=path, interface=interface, member=member, signature=signature, body=body or []
        )
    )
    if reply is None or reply.message_type is MessageType.ERROR:
        raise BleakError(f"system Bluetooth refuses {member}: {reply.error_name if reply else 'no reply'}")
    return reply.body[0] if reply.body else None
