import asyncio
import random
from pathlib import Path

import pytest

from tests.fakes.broker import Broker
from tests.integration.gateway_process import (
    Program,
    gateway_health,
    stored_positions,
    truth,
    until_link,
    write_settings,
    write_simulated_squad,
)

KILLS = 20
SEED = 20261121


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_gateway_when_killed_twenty_times_mid_stream_then_every_acknowledged_reading_is_stored_once(
    tmp_path: Path, own_broker: Broker
) -> None:
    """What was acknowledged is on disk, whatever moment the gateway is killed at; what was not comes again."""
    own_broker.start()
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    settings = write_settings(tmp_path, broker_port=own_broker.port)
    simulator = Program(
        tmp_path, "simulator", "firmware_sim", "run", "--athletes", "8", "--seed", "3", "--rate-hz", "25",
        "--mqtt", f"127.0.0.1:{own_broker.port}", "--hci-port", "0",
        "--roster-out", str(tmp_path / "simulated.json"), "--truth-out", str(tmp_path / "truth.jsonl"),
    )  # fmt: skip
    await write_simulated_squad(tmp_path, athletes=8, seed=3)
    async with simulator, Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        # The broker keeps messages for a client that has subscribed once; what came before that was never ours.
        await until_link((await gateway.start())["url"], "broker", up=True)
        await simulator.start()
        await gateway.kill()
        for _ in range(KILLS - 1):
            await gateway.start()
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            await gateway.kill()
        url = (await gateway.start())["url"]
        assert await simulator.stop() == 0
        sent = truth(tmp_path / "truth.jsonl")
        acknowledged = [line for line in sent if line["kind"] == "position" and line["acked"]]
        async with asyncio.timeout(60):
            while (await gateway_health(url))["store"]["readings"] < len(acknowledged):
                await asyncio.sleep(0.2)
        assert await gateway.stop() == 0
    stored = stored_positions(tmp_path / "data" / "gateway.sqlite")
    wanted = [(p["sensor"], p["boot"], p["n"], p["x_mm"], p["y_mm"]) for p in acknowledged]
    assert len(wanted) > 1000
    assert [key for key in wanted if stored[key] == 0] == []
    assert [key for key, count in stored.items() if count > 1] == []
