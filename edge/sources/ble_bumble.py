"""A backend for bleak on bumble: an adapter reached over HCI (TCP, USB, serial) where there is no system Bluetooth.

`BumbleRadio` owns one HCI transport; its `scanner` and `client` are classes that bleak takes as `backend=`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bleak.uuids import normalize_uuid_str
from bumble.att import ATT_Error
from bumble.core import UUID, BaseBumbleError, PhysicalTransport
from bumble.device import Connection, Device, Peer
from bumble.gatt import Characteristic
from bumble.hci import Address, AddressType, HCI_Error, HCI_LE_Create_Connection_Cancel_Command
from bumble.host import Host
from bumble.transport import open_transport
from bumble.transport.common import Transport, TransportSink, TransportSource

from edge.sources.ble_reports import Report, is_reports, read_fields, read_reports
from edge.supervise import stop_if_cancelled

_PROPERTIES: dict[Characteristic.Properties, CharacteristicPropertyName] = {
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.NOTIFY: "notify",
    Characteristic.Properties.INDICATE: "indicate",
}
# The largest ATT packet that fits one data-length-extended link-layer packet (251 bytes less L2CAP's 4).
_MTU = 247
_MAX_HEARD = 512
_GIVE_UP_S = 1.0


class BumbleRadio:
    """One adapter. `lost` is done when the transport's other end has gone."""

    def __init__(self, central: Device, host: "_Host", lost: "asyncio.Future[None]") -> None:
        self.central = central
        self.host = host
        self.lost = lost
        # A controller makes one connection at a time (Core 5.4 Vol 4 Part E 7.8.12: Command Disallowed).
        self.connecting = asyncio.Lock()
        self.scanner: type[BaseBleakScanner] = type("BumbleScanner", (_Scanner,), {"radio": self})
        self.client: type[BaseBleakClient] = type("BumbleClient", (_Client,), {"radio": self})


@contextlib.asynccontextmanager
async def open_radio(transport_name: str) -> AsyncIterator[BumbleRadio]:
    """Open the HCI transport and power the adapter on.

    Raises: BleakError when the transport cannot be opened or the adapter does not answer.
    """
    async with await _transport(transport_name) as transport:
        # Two adapters of one gateway must not share an address, or a sensor could not tell them apart.
        address = Address.generate_static_address()
        host = _Host(transport.source, transport.sink)
        central = Device(name="sideline", address=address, host=host)
        try:
            async with asyncio.timeout(5.0):
                await central.power_on()
        except (TimeoutError, BaseBumbleError) as exc:
            raise BleakError(f"adapter {transport_name} does not answer") from exc
        yield BumbleRadio(central, host, transport.source.terminated)


async def _transport(name: str) -> Transport:
    """Open a transport.

    Raises: BleakError for whatever a driver says: libusb's errors and some of bumble's own are plain exceptions.
    """
    opening = asyncio.ensure_future(open_transport(name))
    try:
        await asyncio.wait({opening})
    finally:
        opening.cancel()
    problem = opening.exception()
    if problem is not None:
        raise BleakError(f"adapter {name}: {problem}") from problem
    return opening.result()


def _uuid(uuid: UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-").lower() if len(uuid.uuid_bytes) == 16 else uuid.to_hex_str().lower())


@contextlib.contextmanager
def _lost_links() -> Iterator[None]:
    """Tell a request that bumble cancels because its link went from a cancellation of the task."""
    try:
        yield
    except asyncio.CancelledError as exc:
        stop_if_cancelled()
        raise BleakError("lost the link") from exc


class _Host(Host):
    """A host whose advertising reports go to the scanners at once; bumble reads everything else."""

    def __init__(self, source: TransportSource, sink: TransportSink) -> None:
        self.report_listeners: list[Callable[[Report], None]] = []
        super().__init__(source, sink)

    def on_packet(self, packet: bytes) -> None:
        """Take one HCI packet."""
        if not is_reports(packet):
            super().on_packet(packet)
            return
        for report in read_reports(packet):
            for listener in self.report_listeners:
                listener(report)


class _Scanner(BaseBleakScanner):
    radio: BumbleRadio

    def __init__(
        self,
        detection_callback: Callable[..., Any] | None = None,
        service_uuids: list[str] | None = None,
        scanning_mode: str = "active",  # noqa: ARG002  bleak passes it; bumble scans actively
        **_options: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._bodies: dict[bytes, list[bytes]] = {}
        """By address, the latest heard last: its advertisement, and what it answers to a scan."""

    def _on_report(self, report: Report) -> None:
        bodies = self._bodies.pop(report.address, None) or [b"", b""]
        self._bodies[report.address] = bodies
        if len(self._bodies) > _MAX_HEARD:
            del self._bodies[next(iter(self._bodies))]
        bodies[report.is_response] = report.body
        if report.is_response:
            return  # told with the next advertisement
        fields = read_fields(b"".join(bodies))
        if not self.is_allowed_uuid(fields.services):
            return
        found = AdvertisementData(
            local_name=fields.name,
            manufacturer_data=fields.companies,
            service_data={},
            service_uuids=fields.services,
            tx_power=fields.tx_power_dbm,
            rssi=report.rssi_dbm,
            platform_data=(report,),
        )
        address = report.address[::-1].hex(":").upper()
        target = Address(report.address, AddressType(report.address_type))
        device = self.create_or_update_device(address, address, fields.name, target, found)
        self.call_detection_callbacks(device, found)

    async def start(self) -> None:
        self.seen_devices = {}
        self._bodies = {}
        self.radio.host.report_listeners.append(self._on_report)
        if not self.radio.central.scanning:
            await self.radio.central.start_scanning(active=True, filter_duplicates=False)

    async def stop(self) -> None:
        with contextlib.suppress(ValueError):
            self.radio.host.report_listeners.remove(self._on_report)
        central = self.radio.central
        if central.scanning and not self.radio.lost.done():
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await central.stop_scanning()


class _Client(BaseBleakClient):
    radio: BumbleRadio

    def __init__(self, address_or_ble_device: BLEDevice | str, **options: Any) -> None:
        options.pop("services", None)
        super().__init__(address_or_ble_device, **options)
        if isinstance(address_or_ble_device, BLEDevice):
            self._target: Address = address_or_ble_device.details
        else:
            self._target = Address(address_or_ble_device)
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._listeners: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **_options: Any) -> None:  # noqa: ARG002, FBT001  bleak's signature
        try:
            async with self.radio.connecting:
                self._connection = await self._join()
        except (BaseBumbleError, TimeoutError) as exc:
            raise BleakDeviceNotFoundError(self.address, f"cannot connect: {exc}") from exc
        self._connection.on("disconnection", self._on_disconnection)
        try:
            async with asyncio.timeout(self._timeout):
                with _lost_links():
                    await self._discover(Peer(self._connection))
        except (BaseBumbleError, ATT_Error, TimeoutError) as exc:
            await self.disconnect()
            raise BleakError(f"{self.address}: services cannot be read: {exc}") from exc

    async def _join(self) -> Connection:
        """Make the connection; who is cancelled meanwhile leaves no attempt behind.

        Bumble would: the controller then refuses every other connection until this sensor comes, and nobody holds it.
        """
        central = self.radio.central
        attempt = asyncio.create_task(
            central.connect(self._target, transport=PhysicalTransport.LE, timeout=self._timeout), name="bumble connect"
        )
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if not self.radio.lost.done():
                with contextlib.suppress(BaseBumbleError, TimeoutError):
                    async with asyncio.timeout(_GIVE_UP_S):
                        with contextlib.suppress(HCI_Error):  # it was connected a moment ago
                            await central.send_sync_command(HCI_LE_Create_Connection_Cancel_Command())
                        await (await attempt).disconnect()
            raise
        finally:
            attempt.cancel()

    async def _discover(self, peer: Peer) -> None:
        await peer.request_mtu(_MTU)
        await peer.discover_all()  # type: ignore[no-untyped-call]  # annotated only in part
        services = BleakGATTServiceCollection()
        for service in peer.services:
            known = BleakGATTService(service, service.handle, _uuid(service.uuid))
            services.add_service(known)
            for entry in service.characteristics:
                names = [name for flag, name in _PROPERTIES.items() if entry.properties & flag]
                characteristic = BleakGATTCharacteristic(
                    entry, entry.handle, _uuid(entry.uuid), names, lambda: self.mtu_size - 3, known
                )
                services.add_characteristic(characteristic)
                for descriptor in entry.descriptors:
                    services.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, _uuid(descriptor.type), characteristic)
                    )
        self._peer, self.services = peer, services

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = self._peer = None
        self.services = None
        self._listeners.clear()
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._connection and not self.radio.lost.done():
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._connection.disconnect()

    async def pair(self, *_args: Any, **_options: Any) -> None:
        raise BleakError("pairing is not supported over this adapter")

    async def unpair(self) -> None:
        raise BleakError("pairing is not supported over this adapter")

    async def read_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        *,
        use_cached: bool = False,  # noqa: ARG002  values are always read anew
        **_options: Any,
    ) -> bytearray:
        return bytearray(await self._ask(lambda peer: peer.gatt_client.read_value(characteristic.handle)))

    async def read_gatt_descriptor(
        self,
        descriptor: BleakGATTDescriptor,
        *,
        use_cached: bool = False,  # noqa: ARG002  values are always read anew
        **_options: Any,
    ) -> bytearray:
        return bytearray(await self._ask(lambda peer: peer.gatt_client.read_value(descriptor.handle)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:  # noqa: FBT001
        await self._ask(lambda peer: peer.write_value(characteristic.obj, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        await self._ask(lambda peer: peer.write_value(descriptor.obj, bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: Callable[[bytearray], Any], **_options: Any
    ) -> None:
        def listener(value: bytes) -> None:
            callback(bytearray(value))

        self._listeners[characteristic.handle] = listener
        await self._ask(lambda peer: peer.subscribe(characteristic.obj, listener))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        listener = self._listeners.pop(characteristic.handle, None)
        await self._ask(lambda peer: peer.unsubscribe(characteristic.obj, listener))

    async def _ask(self, request: Callable[[Peer], Any]) -> Any:
        if self._peer is None:
            raise BleakError(f"{self.address} is not connected")
        try:
            async with asyncio.timeout(self._timeout):
                with _lost_links():
                    return await request(self._peer)
        except (BaseBumbleError, ATT_Error, TimeoutError) as exc:
            raise BleakError(f"{self.address}: {exc}") from exc
