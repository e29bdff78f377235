import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from shared.parquet_codec import decode_parquet
from tests.fakes.broker import Broker
from tests.integration.gateway_process import (
    Program,
    free_port,
    gateway_health,
    truth,
    until_link,
    write_settings,
    write_simulated_squad,
)


def bronze_positions(objects: Path) -> Counter[tuple[str, str, int, int, int]]:
    """Return how often each position stands in the cloud's bronze files."""
    found: Counter[tuple[str, str, int, int, int]] = Counter()
    for file in objects.rglob("*.position.parquet"):
        for block in decode_parquet(file.read_bytes()):
            for sequence, values in zip(block.sequence.tolist(), block.values, strict=True):
                found[block.sensor, block.origin, sequence, round(values[0] * 1000), round(values[1] * 1000)] += 1
    return found


def cloud(*words: str) -> None:
    """Run a command of the cloud."""
    subprocess.run([sys.executable, "-m", "cloud", *words], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_gateway_when_the_cloud_is_down_at_start_and_killed_later_then_nothing_is_lost_or_doubled(
    tmp_path: Path, own_broker: Broker
) -> None:
    """The gateway stores while the cloud is away, shows that it is, and delivers everything once when it is back."""
    own_broker.start()
    data = tmp_path / "cloud"
    await asyncio.to_thread(cloud, "setup", "--cloud-dir", str(data))
    await asyncio.to_thread(cloud, "enroll", "gw-test", "--cloud-dir", str(data), "--out", str(tmp_path / "enrolment"))
    port = free_port()
    settings = write_settings(tmp_path, broker_port=own_broker.port, cloud_url=f"http://127.0.0.1:{port}")
    simulator = Program(
        tmp_path, "simulator", "firmware_sim", "run", "--athletes", "10", "--seed", "5",
        "--mqtt", f"127.0.0.1:{own_broker.port}", "--hci-port", "0",
        "--roster-out", str(tmp_path / "simulated.json"), "--truth-out", str(tmp_path / "truth.jsonl"),
    )  # fmt: skip
    api = Program(tmp_path, "cloud", "cloud", "api", "--cloud-dir", str(data), "--port", str(port))
    await write_simulated_squad(tmp_path, athletes=10, seed=5)
    async with simulator, api, Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        await simulator.start()
        await until_link(url, "cloud", up=False)
        await api.start()
        await until_link(url, "cloud", up=True)
        for _ in range(3):
            await asyncio.sleep(1.0)
            await api.kill()
            await until_link(url, "cloud", up=False)
            await api.start()
            await until_link(url, "cloud", up=True)
        assert await simulator.stop() == 0
        acknowledged = [p for p in truth(tmp_path / "truth.jsonl") if p["kind"] == "position" and p["acked"]]
        async with asyncio.timeout(60):
            while (health := await gateway_health(url))["sync_lag_s"] is not None:
                await asyncio.sleep(0.2)
        assert health["gaps"] == []
        assert await gateway.stop() == 0
        assert await api.stop() == 0
    found = bronze_positions(data / "objects")
    wanted = [(p["sensor"], p["boot"], p["n"], p["x_mm"], p["y_mm"]) for p in acknowledged]
    assert len(wanted) > 500
    assert [key for key in wanted if found[key] != 1] == []
