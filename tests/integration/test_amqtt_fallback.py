import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from tests.integration.gateway_process import (
    Program,
    free_port,
    gateway_health,
    until_link,
    write_settings,
    write_squad,
)
from tests.tools import ROOT

MESSAGES = 50


@pytest.fixture
def amqtt_port(tmp_path: Path) -> Iterator[int]:
    """The broker that the demo uses where mosquitto is not installed, with the demo's own settings."""
    port = free_port()
    text = (ROOT / "deployment" / "mosquitto" / "amqtt.yaml").read_text().replace("@PORT@", str(port))
    (tmp_path / "amqtt.yaml").write_text(text)
    program = str(Path(sys.executable).parent / "amqtt")
    with (tmp_path / "amqtt.log").open("wb") as log:
        broker = subprocess.Popen([program, "-c", str(tmp_path / "amqtt.yaml")], stdout=log, stderr=log)
    yield port
    broker.terminate()
    broker.wait(10)


async def test_gateway_when_the_broker_is_amqtt_then_every_message_is_stored(tmp_path: Path, amqtt_port: int) -> None:
    """Without mosquitto the Python broker does: QoS 1, manual acknowledgement, started after the gateway."""
    write_squad(tmp_path, ["tag-1"])
    settings = write_settings(tmp_path, broker_port=amqtt_port)
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        async with aiomqtt.Client("127.0.0.1", amqtt_port) as client:
            for n in range(MESSAGES):
                position = {"boot": "0badcafe", "n": n, "t_ns": 0, "x_mm": n, "y_mm": 0, "quality": 90}
                await client.publish("sideline/tags/tag-1/position", json.dumps(position), qos=1)
        async with asyncio.timeout(20):
            while (await gateway_health(url))["store"]["readings"] < MESSAGES:
                await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
