"""The Bluetooth source over bleak's unmodified BlueZ backend, against a fake `org.bluez` on a private bus."""

import asyncio
from pathlib import Path

import pytest

from edge.settings import AdapterSettings, BleSettings
from edge.sources.ble import BleSource
from shared.clock import ManualClock
from shared.ids import SensorId
from tests.fakes.bluez.air import bluez, gateway
from tests.fakes.bluez.peripheral import Attribute, Peripheral, full, heart_strap
from tests.fakes.bluez.service import FakeBlueZ
from tests.tools import BOUND_S, settled, until

STRAP = SensorId("C0:00:00:00:00:01")
OTHER = SensorId("C0:00:00:00:00:02")
STRANGER = "C0:00:00:00:00:99"
HCI0 = BleSettings(adapter="system:hci0")
HEART_RATE = full("2a37")


def is_connected(source: BleSource, sensor: SensorId) -> bool:
    """Return whether the gateway holds this sensor."""
    return sensor in source.links and source.links[sensor].connected


async def heard(source: BleSource, count: int, *, channel: str = "2a37") -> list[bytes]:
    """Wait for this many frames of a channel."""
    bodies: list[bytes] = []
    async with asyncio.timeout(BOUND_S):
        while len(bodies) < count:
            bodies += [d.frame.body for d in await source.receive() if d.frame.channel == channel]
    return bodies


async def exchange(service: FakeBlueZ, source: BleSource, strap: Peripheral, first: int) -> None:
    """Send three heart rates and demand that exactly they arrive, once each and in order."""
    sent = [bytes([0, bpm]) for bpm in range(first, first + 3)]
    for body in sent:
        assert service.notify(strap, HEART_RATE, body) == 1
    assert await heard(source, 3) == sent


@pytest.mark.parametrize("acquire", [False, True], ids=["StartNotify", "AcquireNotify"])
async def test_bluez_when_a_strap_is_found_then_each_notification_arrives_once(tmp_path: Path, acquire: bool) -> None:  # noqa: FBT001
    """Rule: discovery, connection and both ways of notification work through bleak's own backend; battery is read."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        settings = BleSettings(adapter="system:hci0", acquire_notify=acquire)
        async with gateway(settings) as source:
            await until(lambda: is_connected(source, STRAP))
            frames = [d.frame for d in await source.receive()]
            assert {(f.channel, f.body) for f in frames} >= {("2a19", b"\x53")}
            await exchange(service, source, strap, 120)
            assert service.subscribed[STRAP, "AcquireNotify" if acquire else "StartNotify"] == 2
            assert source.links[STRAP].adapter == "system:hci0"
        await until(lambda: strap.connected_to is None)


@pytest.mark.parametrize("acquire", [False, True], ids=["StartNotify", "AcquireNotify"])
async def test_bluez_when_the_link_drops_then_a_fresh_client_hears_each_notification_once(
    tmp_path: Path,
    acquire: bool,  # noqa: FBT001
) -> None:
    """Rule: subscriptions of the old client do not live on beside the new one's."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        async with gateway(BleSettings(adapter="system:hci0", acquire_notify=acquire)) as source:
            for connection in (1, 2, 3):
                await until(lambda n=connection: is_connected(source, STRAP) and source.links[STRAP].connections == n)  # type: ignore[misc]
                await exchange(service, source, strap, 100 * connection % 250)
                service.drop(strap)
            assert source.status.up


async def test_bluez_when_the_adapter_is_switched_off_then_it_says_so_and_comes_back(tmp_path: Path) -> None:
    """Rule: `Powered` false ends the scan at once, with its reason; true brings the straps back."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        async with gateway(HCI0) as source:
            await until(lambda: is_connected(source, STRAP))
            await exchange(service, source, strap, 60)
            service.power("hci0", on=False)
            await until(lambda: "switched off" in (source.status.problem or ""))
            assert not is_connected(source, STRAP)
            service.power("hci0", on=True)
            await until(lambda: is_connected(source, STRAP))
            await exchange(service, source, strap, 70)


async def test_bluez_when_the_adapter_is_pulled_out_then_it_is_missed_and_found_again(tmp_path: Path) -> None:
    """Rule: no event but the adapter's own removal is needed to let its sensors go."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        async with gateway(HCI0) as source:
            await until(lambda: is_connected(source, STRAP))
            service.remove_adapter("hci0")
            await until(lambda: "no Bluetooth adapter hci0" in (source.status.problem or ""))
            assert not is_connected(source, STRAP)
            service.add_adapter("hci0")
            await until(lambda: is_connected(source, STRAP))
            await exchange(service, source, strap, 70)


async def test_bluez_when_services_cannot_be_discovered_then_it_is_tried_again(tmp_path: Path) -> None:
    """Rule: a link that ends during discovery gives its slot back, and the next attempt works."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP, drops_while_discovering=2)
        service.put(strap)
        async with gateway(HCI0) as source:
            await until(lambda: is_connected(source, STRAP))
            assert strap.connections == 3
            assert source.links[STRAP].connections == 1
            assert source.adapters[0].slots.free == source.adapters[0].slots.capacity - 1
            await exchange(service, source, strap, 80)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("org.bluez.Error.Failed", "le-connection-abort-by-local"),
        ("org.bluez.Error.Failed", "br-connection-canceled"),
        ("org.bluez.Error.InProgress", "Operation already in progress"),
    ],
)
async def test_bluez_when_connecting_is_refused_then_it_is_tried_again(tmp_path: Path, name: str, text: str) -> None:
    """Rule: what BlueZ says of interference and of a busy controller is no reason to give up."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP, connect_errors=[(name, text)])
        service.put(strap)
        async with gateway(HCI0) as source:
            await until(lambda: is_connected(source, STRAP))
            await exchange(service, source, strap, 80)


async def test_bluez_when_there_are_two_adapters_then_the_better_one_holds_each_sensor(tmp_path: Path) -> None:
    """Rule: each sensor goes where it is heard better; `system:hci1` is the adapter of that name."""
    async with bluez(tmp_path, "hci0", "hci1") as service:
        left = heart_strap(STRAP, rssi_dbm={"hci0": -50, "hci1": -90})
        right = heart_strap(OTHER, rssi_dbm={"hci0": -90, "hci1": -50})
        service.put(left, right)
        async with gateway(BleSettings(adapters=("system:hci0", "system:hci1"))) as source:
            await until(lambda: is_connected(source, STRAP) and is_connected(source, OTHER))
            assert (left.connected_to, right.connected_to) == ("hci0", "hci1")
            await exchange(service, source, left, 60)
            await exchange(service, source, right, 90)


async def test_bluez_when_one_adapter_goes_then_its_sensors_move_to_the_other(tmp_path: Path) -> None:
    """Rule: a failing adapter takes nothing with it that another can hear."""
    async with bluez(tmp_path, "hci0", "hci1") as service:
        moving = heart_strap(STRAP, rssi_dbm={"hci0": -50, "hci1": -80})
        staying = heart_strap(OTHER, rssi_dbm={"hci0": -90, "hci1": -50})
        service.put(moving, staying)
        async with gateway(BleSettings(adapters=("system:hci0", "system:hci1"))) as source:
            await until(lambda: is_connected(source, STRAP) and is_connected(source, OTHER))
            service.power("hci0", on=False)
            await until(lambda: moving.connected_to == "hci1" and is_connected(source, STRAP))
            assert source.status.up
            assert "hci0" in (source.status.problem or "")
            assert source.links[OTHER].connections == 1
            await exchange(service, source, moving, 60)
            service.power("hci0", on=True)
            await until(lambda: source.status.problem is None)
            assert moving.connected_to == "hci1"  # it is held: nothing moves it back


async def test_bluez_when_an_adapter_is_full_then_the_other_takes_the_rest(tmp_path: Path) -> None:
    """Rule: slots are counted per adapter."""
    async with bluez(tmp_path, "hci0", "hci1") as service:
        straps = [heart_strap(f"C0:00:00:00:00:0{n}", rssi_dbm={"hci0": -50, "hci1": -70}) for n in range(1, 5)]
        service.put(*straps)
        small = AdapterSettings(adapter="system:hci0", slots=1)
        async with gateway(BleSettings(adapters=(small, "system:hci1"), slots=2)) as source:
            await until(lambda: sum(link.connected for link in source.links.values()) == 3)
            held = sorted(str(strap.connected_to) for strap in straps)
            assert held == ["None", "hci0", "hci1", "hci1"]


async def test_bluez_when_a_strap_advertises_no_service_then_it_is_found_by_its_address(tmp_path: Path) -> None:
    """Rule: no filter by service: who is on the roster is heard, a neighbour without a service of ours is not met."""
    async with bluez(tmp_path) as service:
        strap, lamp = heart_strap(STRAP), heart_strap(STRANGER)
        strap.advertised = lamp.advertised = ()
        service.put(strap, lamp)
        async with gateway(HCI0, strangers=(STRANGER,)) as source:
            await until(lambda: is_connected(source, STRAP))
            assert "UUIDs" not in service.filters["hci0"]
            assert service.filters["hci0"]["DuplicateData"] is True
            assert not source.strangers


async def test_bluez_when_the_adapter_hears_nothing_then_it_scans_anew(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: 30 s without a single advertisement, and the scan is started again."""
    async with bluez(tmp_path) as service:
        service.deaf.add("hci0")
        service.put(heart_strap(STRAP))
        async with gateway(HCI0, clock=clock) as source:
            await until(lambda: source.status.up)
            for _ in range(29):
                clock.advance(1.0)
                await settled()
            assert service.scans["hci0"] == 1
            service.deaf.clear()
            clock.advance(1.0)
            await until(lambda: service.scans["hci0"] == 2 or is_connected(source, STRAP))
            assert service.scans["hci0"] == 2
            await until(lambda: is_connected(source, STRAP))


async def test_bluez_when_a_connected_strap_is_silent_then_it_is_connected_anew(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: nothing for 10 s on a link that is up: flagged, dropped, connected again; a gap says what is missing."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        async with gateway(HCI0, clock=clock) as source:
            await until(lambda: is_connected(source, STRAP))
            await exchange(service, source, strap, 60)
            flow = source.links[STRAP].flow
            clock.advance(4.0)
            assert not flow.is_silent(clock.mono_ns())
            clock.advance(2.0)
            assert flow.is_silent(clock.mono_ns())
            await settled()
            clock.advance(5.0)
            await until(lambda: strap.connections == 2 and is_connected(source, STRAP))
            assert flow.is_silent(clock.mono_ns())
            await exchange(service, source, strap, 70)
            assert not flow.is_silent(clock.mono_ns())
            (gap,) = source.take_gaps()
            assert (gap.reason, gap.count, gap.stream) == ("connected but silent", 10, "heart_rate")


async def test_bluez_when_only_a_battery_reports_then_silence_is_no_fault(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: a cadence sensor is silent while the wheel rests; nobody drops it for that."""
    async with bluez(tmp_path) as service:
        pod = Peripheral(
            address=STRAP,
            name="Pod",
            services={full("1816"): [Attribute(full("2a5b"), ("notify",))]},
            advertised=(full("1816"),),
        )
        service.put(pod)
        async with gateway(HCI0, clock=clock) as source:
            await until(lambda: is_connected(source, STRAP))
            for _ in range(60):
                clock.advance(1.0)
                await settled()
            assert (pod.connections, is_connected(source, STRAP)) == (1, True)
