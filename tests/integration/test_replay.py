import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiomqtt
import httpx
import pytest

from edge.sources.replay import FrameRecorder, ReplaySource, read_frames
from shared.clock import Stamp, SystemClock
from shared.errors import SourceError
from shared.ids import SensorId
from shared.readings import Frame
from tests.fakes.broker import Broker
from tests.integration.gateway_process import (
    Program,
    free_port,
    gateway_health,
    stored_positions,
    until_link,
    write_settings,
    write_squad,
)
from tests.tools import until


def frames(count: int) -> list[Frame]:
    """Return frames of one tag, a second apart."""
    return [
        Frame(
            sensor=SensorId("tag-1"),
            channel="position",
            body=f"body {i}".encode(),
            received=Stamp(utc_ns=i * 1_000_000_000, mono_ns=i, boot_id="boot"),
        )
        for i in range(count)
    ]


def recorded(path: Path, count: int) -> list[Frame]:
    """Write a recording and return what is in it."""
    recorder = FrameRecorder(path)
    written = frames(count)
    recorder.write(written)
    recorder.close()
    return written


def test_recording_when_read_back_then_it_holds_the_same_frames(tmp_path: Path) -> None:
    """A recording keeps bytes, channel, sensor and times as they came."""
    written = recorded(tmp_path / "a.frames", 5)
    assert list(read_frames(tmp_path / "a.frames")) == written


def test_recording_when_cut_short_by_a_crash_then_the_whole_frames_before_are_read(tmp_path: Path) -> None:
    """Every truncation of a recording gives the frames before the cut and nothing else."""
    path = tmp_path / "a.frames"
    written = recorded(path, 3)
    body = path.read_bytes()
    for length in range(4, len(body)):
        path.write_bytes(body[:length])
        found = list(read_frames(path))
        assert found == written[: len(found)]
        assert len(found) < 3


def test_recording_when_it_is_another_file_then_the_error_names_it(tmp_path: Path) -> None:
    """A file that is no recording, or damaged inside, is refused with its name."""
    path = tmp_path / "a.frames"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(SourceError, match=r"a\.frames: is not a recording"):
        list(read_frames(path))
    recorded(path, 3)
    body = bytearray(path.read_bytes())
    body[8] ^= 0xFF
    path.write_bytes(bytes(body))
    with pytest.raises(SourceError, match="damaged"):
        list(read_frames(path))


async def test_replay_when_played_at_full_speed_then_every_frame_is_delivered_in_order(tmp_path: Path) -> None:
    """Speed 0 gives frames as fast as they are taken, all of them, and says when the end is reached."""
    written = recorded(tmp_path / "a.frames", 2000)
    source = ReplaySource(tmp_path / "a.frames", SystemClock(), speed=0)
    playing = asyncio.create_task(source.run())
    found: list[Frame] = []
    async with asyncio.timeout(10):
        while len(found) < len(written):
            found += [delivery.frame for delivery in await source.receive()]
    await until(source.done.is_set)
    playing.cancel()
    assert found == written


async def test_gateway_when_a_recording_is_replayed_then_the_same_readings_are_stored(
    tmp_path: Path, own_broker: Broker
) -> None:
    """`run --record` and `replay` go through the same gateway: its journal holds the same positions."""
    own_broker.start()
    write_squad(tmp_path, ["tag-1", "tag-2"])
    settings = write_settings(tmp_path, broker_port=own_broker.port)
    file = tmp_path / "training.frames"
    words = ["edge", "run", "--settings", str(settings), "--record", str(file)]
    async with Program(tmp_path, "gateway", *words) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        async with aiomqtt.Client("127.0.0.1", own_broker.port) as client:
            for n in range(40):
                position = {"boot": "0badcafe", "n": n, "t_ns": 0, "x_mm": n, "y_mm": 2 * n, "quality": 90}
                await client.publish(f"sideline/tags/tag-{n % 2 + 1}/position", json.dumps(position), qos=1)
        async with asyncio.timeout(20):
            while (await gateway_health(url))["store"]["readings"] < 40:
                await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
    recorded_positions = stored_positions(tmp_path / "data" / "gateway.sqlite")

    port = free_port()
    replay = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "replay", str(file), "--settings", str(settings), "--speed", "0",
        "--port", str(port), "--data-dir", str(tmp_path / "again"), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            while await readings(port) < 40:
                await asyncio.sleep(0.05)
    finally:
        replay.terminate()
        await replay.wait()
    assert stored_positions(tmp_path / "again" / "gateway.sqlite") == recorded_positions


async def readings(port: int) -> int:
    """Return how many readings a gateway has stored, 0 while it does not answer."""
    try:
        found: int = (await gateway_health(f"http://127.0.0.1:{port}"))["store"]["readings"]
    except httpx.HTTPError:
        return 0
    return found
