"""The doctor at Bluetooth adapters: the system's over a private bus, transports of their own, and USB in sysfs."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from edge.doctor.adapters import check_adapters, usb_controllers
from edge.health_messages import AdapterHealth
from tests.e2e.tablet.scripted import Squad, health_of
from tests.fakes.bluez.air import bluez
from tests.integration.doctoring import examined, subject
from tests.integration.gateway_process import free_port


async def test_doctor_when_the_system_has_the_adapter_then_it_is_there_and_on(tmp_path: Path) -> None:
    """Rule: BlueZ is asked; an adapter that is off, or is none, fails with the words of the gateway's own log."""
    given = subject(tmp_path, '[ble]\nadapters = ["system:hci0", "system:hci1", "system:hci7"]\n')
    async with bluez(tmp_path) as service:
        service.add_adapter("hci1", powered=False)
        found = await examined(check_adapters, given)
    assert found["system:hci0"].found == "hci0 is there and switched on"
    assert found["system:hci1"].found == "Bluetooth adapter hci1 is switched off"
    assert found["system:hci7"].found == "there is no Bluetooth adapter hci7"
    assert [check.state for check in found.values()] == ["ok", "fail", "fail"]
    assert "rfkill unblock bluetooth" in found["system:hci7"].advice


async def test_doctor_when_a_transport_is_named_then_it_is_reached(tmp_path: Path) -> None:
    """Rule: a TCP transport must answer, a serial port must be there and be allowed."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = tmp_path / "ttyUSB0"
    port.touch()
    closed = free_port()
    async with await asyncio.start_server(on_connection, "127.0.0.1", 0) as server:
        answers = server.sockets[0].getsockname()[1]
        names = [f"tcp-client:127.0.0.1:{answers}", f"tcp-client:127.0.0.1:{closed}", f"serial:{port},1000000"]
        found = await examined(check_adapters, subject(tmp_path, f"[ble]\nadapters = {names}\n"))
    assert [found[name].state for name in names] == ["ok", "fail", "ok"]


async def test_doctor_when_a_gateway_holds_the_adapter_then_it_is_asked_there(tmp_path: Path) -> None:
    """Rule: what is in use is not opened a second time; the running gateway says how it is."""
    given = subject(tmp_path, '[ble]\nadapters = ["serial:/nowhere/a", "serial:/nowhere/b"]\n')
    running = msgspec.structs.replace(
        health_of(Squad().athletes),
        adapters=[
            AdapterHealth(adapter="serial:/nowhere/a", up=True, slots=7, used=5, heard=9),
            AdapterHealth(adapter="serial:/nowhere/b", up=False, slots=7, used=0, heard=0, problem="pulled out"),
        ],
    )
    found = await examined(check_adapters, msgspec.structs.replace(given, running=running))
    assert found["serial:/nowhere/a"].found == "held by the running gateway: 5 of 7 connections"
    assert (found["serial:/nowhere/b"].state, "pulled out" in found["serial:/nowhere/b"].found) == ("fail", True)


@pytest.mark.parametrize("place", ["bDeviceClass", "1-2:1.0/bInterfaceClass"])
def test_usb_when_a_dongle_is_plugged_in_then_it_is_found_by_its_class(tmp_path: Path, place: str) -> None:
    """Rule: a Bluetooth controller says so of itself or of one of its interfaces; others are left out."""
    for device, kind in (("1-1", "08"), ("1-2", "e0")):
        file = tmp_path / device / place
        file.parent.mkdir(parents=True)
        file.write_text(f"{kind}\n")
        (tmp_path / device / "idVendor").write_text("0a12\n")
        (tmp_path / device / "idProduct").write_text("0001\n")
    assert usb_controllers(tmp_path) == ["0a12:0001"]
    assert usb_controllers(tmp_path / "nowhere") is None
