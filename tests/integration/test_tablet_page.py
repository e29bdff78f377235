import asyncio
import sys
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.gateway_process import Program, free_port, write_settings, write_squad
from tests.tools import BOUND_S


async def test_page_when_another_site_asks_for_live_data_then_it_is_refused(tmp_path: Path) -> None:
    """A page of somebody else's in the same browser gets nothing: foreign origins and foreign names are turned away."""
    write_squad(tmp_path, ["tag-1"])
    settings = write_settings(tmp_path, broker_port=free_port())
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        live = url.replace("http", "ws", 1) + "/ws/live"
        async with connect(live, origin=url) as socket:
            assert "snapshot" in str(await socket.recv())
        async with connect(live) as socket:
            assert "snapshot" in str(await socket.recv())
        with pytest.raises(InvalidStatus):
            async with connect(live, origin="http://elsewhere.example"):
                pass
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/api/health", headers={"host": "elsewhere.example"})).status_code == 400
            assert (await client.get(f"{url}/api/health")).status_code == 200
        assert await gateway.stop() == 0


async def test_page_when_a_tablet_is_gone_without_a_word_then_it_is_no_error(tmp_path: Path) -> None:
    """A tablet that is carried out of range breaks off mid-message: it is let go, and the log says nothing of it."""
    write_squad(tmp_path, ["tag-1"])
    settings = write_settings(tmp_path, broker_port=free_port())
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        socket = await connect(url.replace("http", "ws", 1) + "/ws/live")
        assert "snapshot" in str(await socket.recv())
        socket.transport.abort()
        async with httpx.AsyncClient() as client, asyncio.timeout(BOUND_S):
            while "sideline_tablets 0.0" not in (await client.get(f"{url}/metrics")).text:
                await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
    assert "Traceback" not in (tmp_path / "gateway.log").read_text()


async def test_gateway_when_another_uses_its_data_then_it_says_so_and_ends(tmp_path: Path) -> None:
    """Two gateways on one data folder would fight for broker, radio and database: the second does not start."""
    write_squad(tmp_path, ["tag-1"])
    settings = write_settings(tmp_path, broker_port=free_port())
    words = ("edge", "run", "--settings", str(settings))
    async with Program(tmp_path, "gateway", *words) as gateway:
        await gateway.start()
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        _, said = await second.communicate()
        assert second.returncode == 2
        assert "used by another gateway" in " ".join(said.decode().split())
        assert await gateway.stop() == 0
