"""The air the straps are on, and one adapter on that air offered as HCI over TCP."""

import asyncio
import logging
from types import TracebackType
from typing import Self, cast

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
from bumble.ll import AdvertisingPdu, ConnectInd, TerminateInd
from bumble.transport.common import AsyncPipeSink, PacketParser

from firmware_sim.devices.heart_strap import HeartStrap
from shared.errors import SourceError
from shared.log import get_logger

_ADAPTER_ADDRESS = "F0:F0:F0:F0:F0:F0"

_log = get_logger("air")


class _Radio(LocalLink):
    """A link that delivers advertising only where it matters: n straps would otherwise hear each other, n² times."""

    adapter: "_Adapter | None" = None

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:
        """Bring a connection request to its strap, and an advertisement to the adapter."""
        loop = asyncio.get_running_loop()
        if isinstance(packet, ConnectInd):
            for controller in self.controllers:
                if controller is not sender_controller and controller.random_address == packet.advertiser_address:
                    loop.call_soon(controller.on_ll_advertising_pdu, packet)
        elif self.adapter is not None and self.adapter is not sender_controller:
            loop.call_soon(self.adapter.on_ll_advertising_pdu, packet)


class _Adapter(Controller):
    """The controller behind the TCP port; unlike its base it drops its links on reset and honours a cancel."""

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
    """One gateway's TCP connection: it gets a fresh adapter, which leaves the air with it."""

    def __init__(self, air: "Air") -> None:
        self._air = air
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
    """Straps and adapter on one virtual air; a newer TCP connection replaces an older one."""

    def __init__(self, *, host: str, port: int) -> None:
        self._host, self._wanted_port = host, port
        self._radio = _Radio()  # type: ignore[no-untyped-call]  # bumble's LocalLink has no annotations
        self._attached: _HostConnection | None = None
        self._server: asyncio.Server | None = None
        self.straps: list[HeartStrap] = []

    async def __aenter__(self) -> Self:
        # A strap notices a lost gateway one turn of the loop late, and bumble warns about each packet until then.
        logging.getLogger("bumble.controller").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _HostConnection(self), self._host, self._wanted_port)
        except OSError as exc:
            where = f"{self._host}:{self._wanted_port}"
            raise SourceError(f"HCI port {where}", exc.strerror or "cannot listen") from exc
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        if self._attached is not None:
            self._attached.close()

    @property
    def port(self) -> int:
        """The TCP port in use, also when 0 was asked for."""
        if self._server is None or not self._server.sockets:
            raise SourceError("HCI port", "not listening")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def add_strap(self, address: str, *, battery_percent: int) -> HeartStrap:
        """Put one more strap on the air, advertising."""
        controller = Controller(address, link=self._radio)
        controller.random_address = Address(address)
        host = Host(controller, AsyncPipeSink(controller))
        device = Device(name=address, address=Address(address), host=host)
        strap = HeartStrap(device, address=address, battery_percent=battery_percent)
        await strap.start()
        self.straps.append(strap)
        return strap

    def attach(self, connection: _HostConnection) -> Controller:
        """Give a new TCP connection its adapter, and take the place of the one before."""
        if self._attached is not None:
            _log.warning("adapter taken over by a newer connection")
            previous = self._attached
            self.detach(previous)
            previous.close()
        adapter = _Adapter("adapter", host_sink=connection, link=self._radio)
        adapter.random_address = Address(_ADAPTER_ADDRESS)
        self._radio.adapter = adapter
        self._attached = connection
        _log.info("gateway attached to the adapter")
        return adapter

    def detach(self, connection: _HostConnection) -> None:
        """End all links of a lost TCP connection, so that the straps advertise again."""
        if connection is not self._attached or self._radio.adapter is None:
            return
        adapter, self._radio.adapter, self._attached = self._radio.adapter, None, None
        adapter.set_packet_sink(None)
        adapter.drop_links(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        self._radio.remove_controller(adapter)
        _log.info("gateway left the adapter")
