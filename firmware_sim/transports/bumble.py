"""The air the sensors are on, and adapters on that air, each offered as HCI over a TCP port of its own."""

import asyncio
import logging
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from types import TracebackType
from typing import Self, TypeVar, cast

from bumble.controller import Controller
from bumble.device import Device
from bumble.hci import (
    Address,
    HCI_ErrorCode,
    HCI_LE_Connection_Complete_Event,
    HCI_LE_Create_Connection_Cancel_Command,
    HCI_Reset_Command,
    HCI_StatusReturnParameters,
    Role,
)
from bumble.host import Host
from bumble.link import LocalLink
from bumble.ll import AdvertisingPdu, AdvExtInd, AdvInd, ConnectInd, TerminateInd
from bumble.transport.common import AsyncPipeSink, PacketParser

from firmware_sim.devices.heart_strap import HeartStrap
from firmware_sim.devices.kinds import Speaker
from shared.errors import SourceError
from shared.log import get_logger

_ADAPTER_ADDRESS = "F0:F0:F0:F0:F0:F0"

_log = get_logger("air")
Sensor = TypeVar("Sensor", bound=Speaker)


@lru_cache(maxsize=1024)
def encode_report(address: bytes, address_type: int, body: bytes) -> bytes:
    """Return one LE Extended Advertising Report as an HCI event (Core 5.4 Vol 4 Part E §7.7.65.13).

    Connectable and scannable, on the 1M PHY, of -50 dBm; `address` counts from its last byte.
    """
    head = struct.pack("<HB6sBBBbbHB6s", 0x0013, address_type, address, 1, 0, 0xFF, 127, -50, 0, 0, bytes(6))
    event = bytes([0x0D, 1]) + head + bytes([len(body)]) + body
    return bytes([0x04, 0x3E, len(event)]) + event


class _Radio(LocalLink):
    """A link that delivers only where it matters: n sensors would otherwise hear each other, n² times."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # bumble's LocalLink has no annotations
        self.adapters: list[_Adapter] = []
        self.sensors: dict[bytes, Controller] = {}
        """By address."""

    def find_le_controller(self, address: Address) -> Controller | None:
        """Return the controller at an address, without asking every one of them."""
        sensor = self.sensors.get(address.address_bytes)
        if sensor is not None:
            return sensor
        return next((adapter for adapter in self.adapters if adapter.random_address == address), None)

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:  # noqa: ARG002
        """Bring a connection request to its sensor, and an advertisement to the adapters."""
        loop = asyncio.get_running_loop()
        if isinstance(packet, ConnectInd):
            sensor = self.sensors.get(packet.advertiser_address.address_bytes)
            if sensor is not None:
                loop.call_soon(sensor.on_ll_advertising_pdu, packet)
            return
        for adapter in self.adapters:
            if adapter.is_listening:
                loop.call_soon(adapter.on_ll_advertising_pdu, packet)


class _Adapter(Controller):
    """The controller behind the TCP port; unlike its base it drops its links on reset and honours a cancel."""

    @property
    def is_listening(self) -> bool:
        """Whether advertisements mean anything to it: it scans, or waits for one to connect to."""
        return bool(self.le_scan_enable) or self.pending_le_connection is not None

    def on_advertising_pdu(self, pdu: AdvInd | AdvExtInd) -> None:
        """Report an advertisement while scanning, in bytes that are made once; connect if it was waited for."""
        address = pdu.advertiser_address
        if self.le_scan_enable and self.hci_sink is not None:
            self.hci_sink.on_packet(encode_report(address.address_bytes, int(address.address_type), bytes(pdu.data)))
        waiting = self.pending_le_connection
        if waiting is not None and waiting.peer_address == address:
            self.create_le_connection(address)

    def drop_links(self, reason: HCI_ErrorCode) -> None:
        """Forget scanning and connecting, and tell every connected strap that its link is gone."""
        self.le_scan_enable = False
        self.pending_le_connection = None
        for connection in list(self.le_connections.values()):
            connection.send_ll_control_pdu(TerminateInd(int(reason)))
        self.le_connections.clear()

    def on_hci_reset_command(self, _command: HCI_Reset_Command) -> HCI_StatusReturnParameters:
        """Core 5.4 Vol 4 Part E §7.3.2: a reset ends all connections."""
        self.drop_links(HCI_ErrorCode.REMOTE_DEVICE_TERMINATED_CONNECTION_DUE_TO_POWER_OFF_ERROR)
        return HCI_StatusReturnParameters(HCI_ErrorCode.SUCCESS)

    def on_hci_le_create_connection_cancel_command(
        self, _command: HCI_LE_Create_Connection_Cancel_Command
    ) -> HCI_StatusReturnParameters:
        """Core 5.4 Vol 4 Part E §7.8.13: the pending attempt ends with Unknown Connection Identifier."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return HCI_StatusReturnParameters(HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.send_hci_packet(
            HCI_LE_Connection_Complete_Event(
                status=HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return HCI_StatusReturnParameters(HCI_ErrorCode.SUCCESS)


class _HostConnection(asyncio.Protocol):
    """A gateway's TCP connection to one port: it gets a fresh adapter, which leaves the air with it."""

    def __init__(self, air: "Air", number: int) -> None:
        self._air = air
        self.number = number
        self._parser = PacketParser()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take an adapter of its own."""
        # A TCP transport by construction; uvloop's does not derive from asyncio's classes, so no isinstance.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._parser.set_packet_sink(self._air.attach(self))

    def data_received(self, data: bytes) -> None:
        """Pass whole HCI packets to the adapter."""
        self._parser.feed_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Take the adapter off the air."""
        self._transport = None
        self._air.detach(self)

    def on_packet(self, packet: bytes) -> None:
        """Write one HCI packet to the gateway (the controller's sink)."""
        if self._transport is not None:
            self._transport.write(packet)

    def close(self) -> None:
        """Hang up after what was written has gone."""
        if self._transport is not None:
            self._transport.close()


class Air:
    """Sensors and adapters on one virtual air; on each port a newer TCP connection replaces an older one."""

    def __init__(self, *, host: str, port: int, adapters: int = 1) -> None:
        """Listen on `adapters` ports from `port` on; 0 takes free ones."""
        self._host = host
        self._wanted_ports = [port + number if port else 0 for number in range(adapters)]
        self._radio = _Radio()
        self._attached: dict[int, tuple[_HostConnection, _Adapter]] = {}
        self._servers: list[asyncio.Server] = []
        self.straps: list[HeartStrap] = []

    async def __aenter__(self) -> Self:
        # A strap notices a lost gateway one turn of the loop late, and bumble warns about each packet until then.
        logging.getLogger("bumble.controller").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        for number, port in enumerate(self._wanted_ports):
            try:
                server = await loop.create_server(partial(_HostConnection, self, number), self._host, port)
            except OSError as exc:
                self._close()
                raise SourceError(f"HCI port {self._host}:{port}", exc.strerror or "cannot listen") from exc
            self._servers.append(server)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        for connection, _ in list(self._attached.values()):
            connection.close()

    @property
    def port(self) -> int:
        """The first adapter's TCP port, also when 0 was asked for."""
        return self.ports[0]

    @property
    def ports(self) -> list[int]:
        """The adapters' TCP ports."""
        found = [server.sockets[0].getsockname()[1] for server in self._servers if server.sockets]
        if not found:
            raise SourceError("HCI port", "not listening")
        return found

    async def add_strap(self, address: str, *, battery_percent: int) -> HeartStrap:
        """Put one more strap on the air, advertising."""
        strap = await self.add(address, partial(HeartStrap, address=address, battery_percent=battery_percent))
        self.straps.append(strap)
        return strap

    async def add(self, address: str, make: Callable[[Device], Sensor]) -> Sensor:
        """Put a sensor on the air, advertising; `make` builds it around its device."""
        controller = Controller(address, link=self._radio)
        controller.random_address = Address(address)
        self._radio.sensors[controller.random_address.address_bytes] = controller
        host = Host(controller, AsyncPipeSink(controller))
        sensor = make(Device(name=address, address=Address(address), host=host))
        await sensor.start()
        return sensor

    def attach(self, connection: _HostConnection) -> Controller:
        """Give a new TCP connection its adapter, and take the place of the one before."""
        previous = self._attached.get(connection.number)
        if previous is not None:
            _log.warning("adapter taken over by a newer connection")
            self.detach(previous[0])
            previous[0].close()
        adapter = _Adapter("adapter", host_sink=connection, link=self._radio)
        adapter.random_address = Address(_ADAPTER_ADDRESS)
        self._radio.adapters.append(adapter)
        self._attached[connection.number] = connection, adapter
        _log.info("gateway attached to the adapter", number=connection.number)
        return adapter

    def detach(self, connection: _HostConnection) -> None:
        """End all links of a lost TCP connection, so that its sensors advertise again."""
        attached, adapter = self._attached.get(connection.number, (None, None))
        if attached is not connection or adapter is None:
            return
        del self._attached[connection.number]
        adapter.set_packet_sink(None)
        adapter.drop_links(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        self._radio.adapters.remove(adapter)
        self._radio.remove_controller(adapter)
        _log.info("gateway left the adapter", number=connection.number)
