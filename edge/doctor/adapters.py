"""The Bluetooth adapters that the settings name: there, switched on and to be opened."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject

_USB = Path("/sys/bus/usb/devices")
# USB class "wireless controller", of a device or of its interfaces.
_WIRELESS = "e0"


async def check_adapters(subject: Subject, findings: Findings) -> None:
    """Check each adapter; one that a running gateway holds is asked about there, for it cannot be opened twice."""
    ble = subject.settings.ble
    if ble is None:
        findings.ok("adapters", "the settings name none")
        return
    held = {adapter.adapter: adapter for adapter in subject.running.adapters} if subject.running else {}
    for given in ble.each():
        known = held.get(given.adapter)
        if known is not None and known.up:
            findings.ok(given.adapter, f"held by the running gateway: {known.used} of {known.slots} connections")
        elif known is not None:
            findings.fail(given.adapter, f"the running gateway says: {known.problem}", _advice(given.adapter))
        else:
            await _check(given.adapter, findings)


async def _check(name: str, findings: Findings) -> None:
    kind, _, rest = name.partition(":")
    if kind == "system":
        await _system(name, rest or None, findings)
    elif kind == "tcp-client":
        await _tcp(name, rest, findings)
    elif kind == "serial":
        _serial(name, Path(rest.split(",")[0]), findings)
    elif kind == "usb":
        await _usb(name, rest, findings)
    else:
        findings.warn(name, "this kind of transport is tried only by the gateway itself", "watch its health page")


async def _system(name: str, wanted: str | None, findings: Findings) -> None:
    if sys.platform != "linux":
        findings.ok(name, "the system's own Bluetooth; it is asked when the gateway runs")
        return
    from edge.sources.ble_bluez import watched  # noqa: PLC0415  D-Bus is Linux's alone

    async def opened() -> str:
        async with watched(wanted) as (found, _):
            return found

    asking = asyncio.ensure_future(opened())
    await asyncio.wait({asking})  # what the radio's library raises is told by the file that knows it
    problem = asking.exception()
    if problem is None:
        findings.ok(name, f"{asking.result()} is there and switched on")
    else:
        findings.fail(name, str(problem), _advice(name))


async def _tcp(name: str, rest: str, findings: Findings) -> None:
    host, _, port = rest.rpartition(":")
    try:
        async with asyncio.timeout(3.0):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError, ValueError):
        findings.fail(name, f"nobody answers at {rest}", _advice(name))
        return
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    findings.ok(name, "answers")


def _serial(name: str, path: Path, findings: Findings) -> None:
    if not path.exists():
        findings.fail(name, f"there is no {path}", "plug the dongle in; `ls /dev/serial/by-id` names what is there")
    elif not os.access(path, os.R_OK | os.W_OK):
        findings.fail(name, f"{path} may not be used by this user", "sudo usermod -aG dialout $USER, and log in anew")
    else:
        findings.ok(name, f"{path} is there and may be used")


async def _usb(name: str, rest: str, findings: Findings) -> None:
    found = await in_thread(usb_controllers, _USB)
    if found is None:
        findings.warn(name, "USB devices cannot be listed on this system", "watch the gateway's health page")
        return
    wanted = rest.lower().replace("0x", "")
    missing = int(wanted) >= len(found) if wanted.isdigit() else wanted not in found
    if missing:
        findings.fail(name, f"{len(found)} USB Bluetooth devices are plugged in: {', '.join(found)}", _advice(name))
    else:
        findings.ok(name, f"plugged in: {', '.join(found)}")


def usb_controllers(folder: Path) -> list[str] | None:
    """Return vendor and product (`0a12:0001`) of the USB Bluetooth controllers in sysfs, None without it; blocks."""
    if not folder.is_dir():
        return None
    found = []
    for device in sorted(folder.iterdir()):
        classes = [device / "bDeviceClass", *device.glob("*/bInterfaceClass")]
        if any(_text(file) == _WIRELESS for file in classes) and (device / "idVendor").exists():
            found.append(f"{_text(device / 'idVendor')}:{_text(device / 'idProduct')}")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _advice(name: str) -> str:
    if name.startswith("system"):
        return "plug the adapter in, `rfkill unblock bluetooth`, `bluetoothctl power on`, `systemctl start bluetooth`"
    if name.startswith("tcp-client"):
        return "start the HCI server at that address, or mend the address in the settings"
    return "plug the dongle in, and end what else uses it (`rfkill unblock bluetooth`; BlueZ must not hold it)"
