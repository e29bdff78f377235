# ruff: noqa: D102, N802
"""`org.bluez` on a private bus: enough of BlueZ's D-Bus interface for an unmodified BlueZ client.

Methods are named `Interface_Member`. Written after BlueZ's own documents (doc/org.bluez.Adapter.rst, Device.rst,
GattCharacteristic.rst, 5.7x).
"""

import asyncio
import contextlib
import os
import select
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.fakes.bluez.peripheral import Attribute, Peripheral

ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
OBJECTS, PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"
_ADVERTISING_S = 0.02
_NO_ROOM_S = 0.001
_MTU = 247


class Refused(Exception):
    """A D-Bus error reply."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(name)
        self.name, self.text = name, text


class FakeBlueZ:
    """Adapters, the sensors around them, and the object tree that clients see."""

    def __init__(self, bus_address: str, *, advertising_s: float = _ADVERTISING_S) -> None:
        self._advertising_s = advertising_s
        self._bus = MessageBus(bus_address=bus_address, negotiate_unix_fd=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: deque[Message] = deque()
        self._filled = asyncio.Event()
        self.objects: dict[str, dict[str, dict[str, Variant]]] = {}
        self.peripherals: list[Peripheral] = []
        self.filters: dict[str, dict[str, Any]] = {}
        self.scans: Counter[str] = Counter()
        self.deaf: set[str] = set()
        """Adapters that say they scan and report nothing."""
        self.subscribed: Counter[tuple[str, str]] = Counter()
        """How often (address, "StartNotify" or "AcquireNotify") was asked for."""
        self._attributes: dict[str, tuple[Peripheral, Attribute]] = {}
        self._paths: dict[tuple[str, str], str] = {}
        """Object path by (address, characteristic), of connected sensors."""
        self._notifying: set[str] = set()
        self._sockets: dict[str, socket.socket] = {}

    async def __aenter__(self) -> Self:
        await self._bus.connect()
        self.objects["/org/bluez"] = {"org.bluez.AgentManager1": {}}
        self._bus.add_message_handler(self._on_message)
        await self._bus.request_name("org.bluez")
        self._spawn(self._post())
        self._spawn(self._air())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._sockets.values():
            end.close()
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    @contextlib.asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Leave the bus's name to nobody, as while `bluetoothd` is stopped."""
        await self._bus.release_name("org.bluez")
        try:
            yield
        finally:
            await self._bus.request_name("org.bluez")

    async def clients(self) -> int:
        """Return how many connections the bus has, this one included."""
        bus = "org.freedesktop.DBus"
        asked = Message(destination=bus, path="/org/freedesktop/DBus", interface=bus, member="ListNames")
        reply = await self._bus.call(asked)
        return sum(name.startswith(":") for name in reply.body[0])

    def add_adapter(self, name: str, *, powered: bool = True) -> None:
        """Plug an adapter in."""
        path = f"/org/bluez/{name}"
        values = {
            "Address": Variant("s", "00:11:22:33:44:55"),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
        }
        self._add(path, {ADAPTER: values})

    def remove_adapter(self, name: str) -> None:
        """Pull an adapter out: its devices vanish with it, and nothing says that they are disconnected."""
        for peripheral in self.peripherals:
            if peripheral.connected_to == name:
                self._forget_links(peripheral)
                peripheral.connected_to = None
        path = f"/org/bluez/{name}"
        for below in sorted((p for p in self.objects if p.startswith(f"{path}/")), reverse=True):
            self._remove(below)
        self._remove(path)

    def power(self, name: str, *, on: bool) -> None:
        """Switch an adapter off or on; off ends its links and its scan."""
        path = f"/org/bluez/{name}"
        if not on:
            for peripheral in self.peripherals:
                if peripheral.connected_to == name:
                    self.drop(peripheral)
            self._change(path, ADAPTER, {"Discovering": Variant("b", False)})
        self._change(path, ADAPTER, {"Powered": Variant("b", on)})

    def put(self, *peripherals: Peripheral) -> None:
        """Put sensors on the air."""
        self.peripherals += peripherals

    def notify(self, peripheral: Peripheral, uuid: str, body: bytes) -> int:
        """Send one notification; return to how many subscriptions it went."""
        path = self._paths.get((peripheral.address, uuid))
        if path is None:
            return 0
        if path in self._sockets:
            self._sockets[path].send(body)
        elif path in self._notifying:
            self._change(path, CHARACTERISTIC, {"Value": Variant("ay", body)})
        else:
            return 0
        return 1

    def drop(self, peripheral: Peripheral) -> None:
        """End a sensor's link, as it ends when the sensor leaves the radio's range."""
        if peripheral.connected_to is None:
            return
        path = peripheral.path(peripheral.connected_to)
        peripheral.connected_to = None
        self._forget_links(peripheral)
        self._change(path, DEVICE, {"ServicesResolved": Variant("b", False)})
        self._change(path, DEVICE, {"Connected": Variant("b", False)})
        for below in sorted((p for p in self.objects if p.startswith(f"{path}/")), reverse=True):
            self._remove(below)

    async def _air(self) -> None:
        while True:
            await asyncio.sleep(self._advertising_s)
            for peripheral in self.peripherals:
                if peripheral.connected_to is None:
                    for adapter, rssi_dbm in peripheral.rssi_dbm.items():
                        self._advertise(peripheral, adapter, rssi_dbm)

    def _advertise(self, peripheral: Peripheral, adapter: str, rssi_dbm: int) -> None:
        state = self.objects.get(f"/org/bluez/{adapter}", {}).get(ADAPTER)
        if state is None or not state["Discovering"].value or adapter in self.deaf:
            return
        wanted = self.filters.get(adapter, {}).get("UUIDs")
        if wanted and not set(wanted) & set(peripheral.advertised):
            return
        path = peripheral.path(adapter)
        values = {"RSSI": Variant("n", rssi_dbm)}
        if peripheral.companies:
            companies = {company: Variant("ay", body) for company, body in peripheral.companies.items()}
            values["ManufacturerData"] = Variant("a{qv}", companies)
        if path in self.objects:
            self._change(path, DEVICE, values)
            return
        values |= {
            "Address": Variant("s", peripheral.address),
            "Name": Variant("s", peripheral.name),
            "Alias": Variant("s", peripheral.name),
            "Adapter": Variant("o", f"/org/bluez/{adapter}"),
            "UUIDs": Variant("as", list(peripheral.advertised)),
            **{name: Variant("b", False) for name in ("Paired", "Connected", "ServicesResolved")},
        }
        self._add(path, {DEVICE: values})

    # What clients call; one method per D-Bus method, by interface and name.

    def _adapter(self, path: str) -> str:
        if not self.objects[path][ADAPTER]["Powered"].value:
            raise Refused("org.bluez.Error.NotReady", "Resource Not Ready")
        return path.rsplit("/", 1)[1]

    async def Adapter1_SetDiscoveryFilter(self, path: str, given: dict[str, Variant]) -> None:
        self.filters[path.rsplit("/", 1)[1]] = {name: value.value for name, value in given.items()}

    async def Adapter1_StartDiscovery(self, path: str) -> None:
        self.scans[self._adapter(path)] += 1
        self._change(path, ADAPTER, {"Discovering": Variant("b", True)})

    async def Adapter1_StopDiscovery(self, path: str) -> None:
        self._adapter(path)
        self._change(path, ADAPTER, {"Discovering": Variant("b", False)})

    def _peripheral(self, path: str) -> tuple[Peripheral, str]:
        adapter = path.split("/")[3]
        return next(p for p in self.peripherals if path.startswith(p.path(adapter))), adapter

    def _unanswered(self, path: str) -> set[str]:
        return set().union(*(p.unanswered for p in self.peripherals if path.startswith(p.path(path.split("/")[3]))))

    async def Device1_Connect(self, path: str) -> None:
        peripheral, adapter = self._peripheral(path)
        self._adapter(f"/org/bluez/{adapter}")
        if peripheral.connect_errors:
            name, text = peripheral.connect_errors.pop(0)
            if text == "le-connection-abort-by-local":  # BlueZ shows the link for a moment
                self._change(path, DEVICE, {"Connected": Variant("b", True)})
                asyncio.get_running_loop().call_later(
                    _ADVERTISING_S, self._change, path, DEVICE, {"Connected": Variant("b", False)}
                )
            raise Refused(name, text)
        if peripheral.connected_to is not None:
            raise Refused("org.bluez.Error.Failed", "le-connection-abort-by-remote")
        peripheral.connected_to = adapter
        peripheral.connections += 1
        self._change(path, DEVICE, {"Connected": Variant("b", True)})
        self._spawn(self._discover(path, peripheral))

    async def _discover(self, path: str, peripheral: Peripheral) -> None:
        await asyncio.sleep(0)
        if peripheral.drops_while_discovering:
            peripheral.drops_while_discovering -= 1
            self.drop(peripheral)
            return
        handle = 1
        for uuid, attributes in peripheral.services.items():
            service = f"{path}/service{handle:04x}"
            values = {"UUID": Variant("s", uuid), "Device": Variant("o", path), "Primary": Variant("b", True)}
            self._add(service, {SERVICE: values})
            for attribute in attributes:
                handle += 1
                below = f"{service}/char{handle:04x}"
                self._attributes[below] = peripheral, attribute
                self._paths[peripheral.address, attribute.uuid] = below
                self._add(below, {CHARACTERISTIC: _characteristic(service, attribute)})
                handle += 2
        self._change(path, DEVICE, {"ServicesResolved": Variant("b", True)})

    async def Device1_Disconnect(self, path: str) -> None:
        self.drop(self._peripheral(path)[0])

    async def GattCharacteristic1_ReadValue(self, path: str, _options: dict[str, Variant]) -> tuple[str, list[Any]]:
        value = self._attributes[path][1].value
        if path in self._notifying:  # as BlueZ does: who listens hears what somebody read, too
            self._change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})
        return "ay", [value]

    async def GattCharacteristic1_WriteValue(self, path: str, value: bytes, _options: dict[str, Variant]) -> None:
        peripheral, attribute = self._attributes[path]
        if attribute.uuid in peripheral.refused:
            raise Refused("org.bluez.Error.Failed", "Operation failed with ATT error: 0x80")
        peripheral.written.append((attribute.uuid, bytes(value)))

    async def GattCharacteristic1_StartNotify(self, path: str) -> None:
        if path in self._notifying:
            raise Refused("org.bluez.Error.InProgress", "In Progress")
        self._notifying.add(path)
        self.subscribed[self._attributes[path][0].address, "StartNotify"] += 1

    async def GattCharacteristic1_StopNotify(self, path: str) -> None:
        self._notifying.discard(path)

    async def GattCharacteristic1_AcquireNotify(
        self, path: str, _options: dict[str, Variant]
    ) -> tuple[str, list[Any], list[int]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sockets[path] = ours
        self.subscribed[self._attributes[path][0].address, "AcquireNotify"] += 1
        return "hq", [0, _MTU], [theirs.detach()]

    # The object tree and the wire.

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.interface == OBJECTS:
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        if message.path not in self.objects:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", f"no {message.path}")
        if "/dev_" in message.path and message.member in self._unanswered(message.path):
            return True
        name = f"{(message.interface or '').split('.')[-1]}_{message.member}"
        if not hasattr(self, name):
            return None
        self._spawn(self._answer(message, name))
        return True

    async def _answer(self, message: Message, name: str) -> None:
        try:
            reply = Message.new_method_return(message, *(await getattr(self, name)(message.path, *message.body) or ()))
        except Refused as exc:
            reply = Message.new_error(message, exc.name, exc.text)
        self._send(reply)

    def _send(self, message: Message) -> None:
        self._outbox.append(message)
        self._filled.set()

    async def _post(self) -> None:
        """Write what is to be sent when the bus has room: dbus-fast gives a bus up that has none."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                while not select.select([], [self._bus._fd], [], 0)[1]:
                    await asyncio.sleep(_NO_ROOM_S)
                message = self._outbox.popleft()
                written = self._bus.send(message)
                if message.unix_fds:
                    await written
                    for end in message.unix_fds:  # the caller has its own copy
                        os.close(end)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._send(
            Message(
                message_type=MessageType.SIGNAL,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
        )

    def _change(self, path: str, interface: str, values: dict[str, Variant]) -> None:
        if path in self.objects:
            self.objects[path][interface].update(values)
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, values, []])

    def _add(self, path: str, interfaces: dict[str, dict[str, Variant]]) -> None:
        self.objects[path] = interfaces
        self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _remove(self, path: str) -> None:
        known = self._attributes.pop(path, None)
        if known is not None:
            self._paths.pop((known[0].address, known[1].uuid), None)
        self._signal("/", OBJECTS, "InterfacesRemoved", "oas", [path, list(self.objects.pop(path))])

    def _forget_links(self, peripheral: Peripheral) -> None:
        for path, (owner, _) in self._attributes.items():
            if owner is peripheral:
                self._notifying.discard(path)
                with contextlib.suppress(KeyError):
                    self._sockets.pop(path).close()


def _characteristic(service: str, attribute: Attribute) -> dict[str, Variant]:
    values = {
        "UUID": Variant("s", attribute.uuid),
        "Service": Variant("o", service),
        "Flags": Variant("as", list(attribute.flags)),
        "Value": Variant("ay", b""),
        "MTU": Variant("q", _MTU),
    }
    if "notify" in attribute.flags:
        values |= {"Notifying": Variant("b", False), "NotifyAcquired": Variant("b", False)}
    return values
