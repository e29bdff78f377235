"""A sensor that changes hands over the gateway's own page, while a session runs."""

import asyncio
import json
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from edge.store.reader import JournalReader
from firmware_sim.devices.heart_strap import HeartStrap
from firmware_sim.transports.bumble import Air
from shared.ids import SensorId
from shared.roster import read_roster
from tests.integration.gateway_process import Program, gateway_health, write_settings, write_squad
from tests.tools import BOUND_S

STRAP, SPARE = SensorId("C0:00:00:00:00:01"), SensorId("C0:00:00:00:00:02")


def with_radio(settings: Path, port: int) -> Path:
    """Add the adapter at a TCP port to a gateway's settings."""
    settings.write_text(f'{settings.read_text()}[ble]\nadapters = ["tcp-client:127.0.0.1:{port}"]\n')
    return settings


async def until_connected(url: str, sensors: set[str]) -> None:
    """Wait until exactly these straps are connected."""
    async with asyncio.timeout(BOUND_S * 2):
        while {s["sensor"] for s in (await gateway_health(url))["sensors"] if s["mode"] == "connected"} != sensors:
            await asyncio.sleep(0.05)


async def heard(url: str, strap: HeartStrap, bpm: int) -> None:
    """Send a heart rate and wait until the gateway has counted it."""

    async def frames() -> int:
        return sum(int(s["frames"]) for s in (await gateway_health(url))["sensors"] if s["sensor"] == strap.address)

    before = await frames()
    assert await strap.notify(bytes([0, bpm]))
    async with asyncio.timeout(BOUND_S):
        while await frames() == before:
            await asyncio.sleep(0.02)


async def test_page_when_a_strap_is_swapped_then_it_is_let_go_shown_and_kept(tmp_path: Path) -> None:
    """Rule: one request moves a strap: tablets hear it, the radio follows, readings keep their wearer, also later."""
    write_squad(tmp_path, [STRAP, "tag-2"])
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(STRAP, battery_percent=83)
        await air.add_strap(SPARE, battery_percent=83)
        settings = with_radio(write_settings(tmp_path, broker_port=1), air.port)
        async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
            url = (await gateway.start())["url"]
            await until_connected(url, {STRAP})
            await heard(url, strap, 0x50)
            async with (
                httpx.AsyncClient(base_url=url) as page,
                connect(f"{url.replace('http', 'ws', 1)}/ws/live") as tablet,
            ):
                refused = [
                    (await page.post("/api/assignments", **given)).status_code  # type: ignore[arg-type]
                    for given in (
                        {"json": {"sensor": SPARE, "athlete": "a77"}},
                        {"json": {"sensor": "no such id!", "athlete": "a00"}},
                        {"json": {"sensor": SPARE}},
                        {"content": b"\xff"},
                        {
                            "json": {"sensor": SPARE, "athlete": "a00"},
                            "headers": {"origin": "http://elsewhere.example"},
                        },
                        {"content": b" " * 5000},
                        {"content": b'{"more":' + b"[" * 4000},
                    )
                ]
                assert refused == [404, 400, 400, 400, 403, 413, 400]
                same = {"origin": url}
                done = await page.post("/api/assignments", json={"sensor": STRAP, "athlete": "a01"}, headers=same)
                assert done.status_code == 204
                assert await said(tablet) == (STRAP, "a01")
                await heard(url, strap, 0x51)
                await page.post("/api/assignments", json={"sensor": STRAP, "athlete": None})
                await page.post("/api/assignments", json={"sensor": SPARE.lower(), "athlete": "a00"})
                assert [await said(tablet), await said(tablet)] == [(STRAP, None), (SPARE, "a00")]
                await until_connected(url, {SPARE})
                assert not strap.subscribers()
                (adapter,) = (await gateway_health(url))["adapters"]
                assert (adapter["up"], adapter["used"]) == (True, 1)
            assert await gateway.stop() == 0
        changes = [(a.sensor, a.athlete) for a in read_roster(tmp_path / "roster.json").assignments if a.from_ns]
        assert changes == [(STRAP, "a01"), (STRAP, None), (SPARE, "a00")]
        assert stored_wearers(tmp_path / "data" / "gateway.sqlite") == {80: "a00", 81: "a01"}
        async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
            url = (await gateway.start())["url"]
            await until_connected(url, {SPARE})
            assert await gateway.stop() == 0


async def said(tablet: object) -> tuple[str, str | None]:
    """Return the next change of wearer that a tablet hears of."""
    async with asyncio.timeout(BOUND_S):
        while True:
            message = json.loads(await tablet.recv())  # type: ignore[attr-defined]
            if message["type"] == "assigned":
                return message["sensor"], message["athlete"]


def stored_wearers(database: Path) -> dict[int, str | None]:
    """Return who wore the strap at each stored heart rate."""
    with JournalReader(database) as reader:
        return {
            round(bpm): block.athlete
            for _, blocks in reader.blocks(imported=False)
            for block in blocks
            if block.stream == "heart_rate"
            for bpm in block.column("heart_rate_bpm")
        }
