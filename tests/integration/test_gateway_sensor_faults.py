import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.fakes.broker import Broker
from tests.integration.gateway_process import (
    Program,
    free_port,
    gateway_health,
    stored_positions,
    truth,
    until_link,
    write_settings,
    write_simulated_squad,
)

SECONDS = 15
FAULTS = ("duplicate=0.05", "corrupt=0.02", "disconnect=0.05")


@pytest.mark.slow
async def test_gateway_when_sensors_misbehave_then_the_good_readings_are_stored_once_and_the_rest_is_counted(
    tmp_path: Path, own_broker: Broker
) -> None:
    """Duplicates count once, damaged frames are set aside, dropped straps come back; nothing good is lost."""
    own_broker.start()
    hci_port = free_port()
    settings = write_settings(tmp_path, broker_port=own_broker.port)
    with settings.open("a") as file:
        file.write(f'[ble]\nadapter = "tcp-client:127.0.0.1:{hci_port}"\n')
    await write_simulated_squad(tmp_path, athletes=6, seed=9)
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    simulator = Program(
        tmp_path, "simulator", "firmware_sim", "run", "--athletes", "6", "--seed", "9",
        "--mqtt", f"127.0.0.1:{own_broker.port}", "--hci-port", str(hci_port), *faults,
        "--roster-out", str(tmp_path / "simulated.json"), "--truth-out", str(tmp_path / "truth.jsonl"),
    )  # fmt: skip
    async with simulator, Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        await simulator.start()
        await until_link(url, "adapter", up=True)
        await asyncio.sleep(SECONDS)
        assert await simulator.stop() == 0
        sent = truth(tmp_path / "truth.jsonl")
        good = {
            (p["sensor"], p["boot"], p["n"], p["x_mm"], p["y_mm"])
            for p in sent
            if p["kind"] == "position" and p["acked"] and p["fault"] != "corrupt"
        }
        corrupt = sum(line["fault"] == "corrupt" for line in sent)
        async with asyncio.timeout(20):
            while True:
                health = await gateway_health(url)
                frames = sum(sensor["frames"] for sensor in health["sensors"])
                if sum(entry["count"] for entry in health["quarantine"]) >= corrupt and frames >= len(sent):
                    break
                await asyncio.sleep(0.1)
        assert await gateway.stop() == 0
    summary = json.loads((tmp_path / "truth.summary.json").read_text())["faults"]
    assert min(summary["duplicate"], summary["corrupt"], summary["disconnect"]) > 0
    stored = stored_positions(tmp_path / "data" / "gateway.sqlite")
    assert [key for key in good if stored[key] != 1] == []
    assert Counter(stored.values())[1] == len(stored)
    assert sum(entry["count"] for entry in health["quarantine"]) == corrupt
    assert sum(sensor["malformed"] for sensor in health["sensors"]) == corrupt
    assert sum(sensor["duplicates"] for sensor in health["sensors"]) > 0
    assert sum(sensor["reconnects"] for sensor in health["sensors"]) > 0
