import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiomqtt

from tests.fakes.broker import Broker
from tests.integration.gateway_process import Program, gateway_health, until_link, write_settings, write_squad

GOOD = {"boot": "0badcafe", "n": 0, "t_ns": 0, "x_mm": 1000, "y_mm": 2000, "quality": 90}


async def test_gateway_when_fed_rubbish_then_it_is_counted_and_the_good_reading_beside_it_is_stored(
    tmp_path: Path, own_broker: Broker
) -> None:
    """Malformed bodies and unknown devices are quarantined with their reason, impossible values flagged, none lost."""
    own_broker.start()
    write_squad(tmp_path, ["tag-1", "tag-2"])
    settings = write_settings(tmp_path, broker_port=own_broker.port)
    messages = [
        ("tag-1", json.dumps(GOOD)),
        ("tag-1", json.dumps({**GOOD, "n": 1, "x_mm": 2_000_000_000})),
        ("tag-1", "{"),
        ("tag-1", b"\xff\x00\xfe"),
        ("tag-2", json.dumps({**GOOD, "surprise": 1})),
        ("tag-2", "x" * 5000),
        ("stranger", json.dumps(GOOD)),
    ]
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        async with aiomqtt.Client("127.0.0.1", own_broker.port) as client:
            await until_link(url, "broker", up=True)
            for sensor, body in messages:
                await client.publish(f"sideline/tags/{sensor}/position", body, qos=1)
        async with asyncio.timeout(20):
            while True:
                health = await gateway_health(url)
                if sum(entry["count"] for entry in health["quarantine"]) == 5 and health["store"]["readings"] == 2:
                    break
                await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
    reasons = {(entry["sensor"], entry["reason"]): entry["count"] for entry in health["quarantine"]}
    assert reasons["stranger", "unknown device"] == 1
    tags = {s["sensor"]: s for s in health["sensors"]}
    assert (tags["tag-1"]["malformed"], tags["tag-1"]["implausible"]) == (2, 1)
    assert tags["tag-2"]["malformed"] == 2


def test_gateway_when_a_settings_key_is_misspelt_then_it_says_which_in_one_line(tmp_path: Path) -> None:
    """A settings file with an unknown key stops the start with the key's place, not with a traceback."""
    settings = tmp_path / "gateway.toml"
    settings.write_text('gateway = "gw-test"\n[mqtt]\nprot = 1883\n')
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", "--settings", str(settings)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "prot" in done.stderr
    assert "$.mqtt" in done.stderr
    assert "Traceback" not in done.stderr
