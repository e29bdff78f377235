import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.load import LoadSettings, run_load
from firmware_sim.transports.mqtt import MqttPublisher
from firmware_sim.transports.mqtt_burst import MqttBurst
from firmware_sim.transports.mqtt_wire import publish_front
from shared.clock import SystemClock
from shared.errors import SourceError
from tests.fakes.broker import Broker

BOUND_S = 10.0


def free_port() -> int:
    """Return a TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(state: Callable[[], bool]) -> None:
    """Wait for a state of the outside world; the caller sets the bound."""
    while not state():
        await asyncio.sleep(0.01)


@pytest.fixture
def broker(own_broker: Broker) -> Broker:
    """A mosquitto that runs, and that the test may stop and start."""
    own_broker.start()
    return own_broker


async def test_publisher_when_the_broker_restarts_then_nothing_is_forgotten(broker: Broker) -> None:
    """Rule: every message is acknowledged in the end, also those published while the broker was away."""
    acked: list[int] = []
    publisher = MqttPublisher(
        host="127.0.0.1",
        port=broker.port,
        identifier="test",
        clock=SystemClock(),
        on_acked=acked.append,
        on_given_up=lambda _: None,
    )
    connection = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(BOUND_S):
            await publisher.connected.wait()
        for k in range(500):
            publisher.publish("t", b"x", k)
        broker.stop()
        async with asyncio.timeout(BOUND_S):
            await until(lambda: not publisher.connected.is_set())
        for k in range(500, 1000):
            publisher.publish("t", b"x", k)
        assert publisher.unacked >= 500
        broker.start()
        async with asyncio.timeout(BOUND_S):
            await publisher.settled()
        assert sorted(acked) == list(range(1000))
    finally:
        connection.cancel()
        await asyncio.wait([connection])


async def test_publisher_when_the_backlog_is_full_then_the_newest_are_given_up() -> None:
    """Rule: memory is bounded; what is given up is reported."""
    given_up: list[int] = []
    publisher = MqttPublisher(
        host="127.0.0.1",
        port=1,
        identifier="test",
        clock=SystemClock(),
        on_acked=lambda _: None,
        on_given_up=given_up.append,
        backlog=10,
    )
    for k in range(15):
        publisher.publish("t", b"x", k)
    assert given_up == [10, 11, 12, 13, 14]
    assert publisher.unacked == 10


async def test_load_when_asked_for_a_rate_then_it_goes_no_faster(broker: Broker) -> None:
    """Rule: every message is acknowledged; a slow machine sends fewer than wanted, none sends more."""
    settings = LoadSettings(rate_hz=1000, seconds=1.0, tags=7, broker_host="127.0.0.1", broker_port=broker.port)
    report = await run_load(settings, SystemClock())
    assert report.acked == report.sent
    assert 1 < report.sent <= 1001
    assert report.sent_per_s <= 1100


async def test_load_when_it_is_the_mix_then_the_report_tells_each_kind(broker: Broker) -> None:
    """Rule: what was sent is told by kind, with the readings in it, and all of it is acknowledged."""
    settings = LoadSettings(rate_hz=0, seconds=1.0, tags=3, broker_host="127.0.0.1", broker_port=broker.port, mix=True)
    report = await run_load(settings, SystemClock())
    assert report.wanted_per_s == 108
    assert report.acked == report.sent == sum(kind.messages for kind in report.kinds.values()) == 108
    assert {name: kind.readings for name, kind in report.kinds.items()} == {"position": 75, "heart_rate": 3, "imu": 300}


async def test_load_when_the_broker_restarts_then_every_message_is_acknowledged_in_the_end(broker: Broker) -> None:
    """Rule: what was in flight goes out again; the count is of messages, not of PUBACKs."""
    burst = MqttBurst(host="127.0.0.1", port=broker.port, identifier="burst", clock=SystemClock())
    connection = asyncio.create_task(burst.run())
    try:
        async with asyncio.timeout(30):
            await burst.connected.wait()
            broker.freeze()
            burst.send([(publish_front("t", 1), b"x")] * 5000)
            broker.thaw()
            broker.stop()
            await until(lambda: not burst.connected.is_set())
            assert burst.room == 0
            broker.start()
            await burst.settled()
        assert (burst.acked, burst.sent, burst.room) == (5000, 5000, 20_000)
    finally:
        connection.cancel()
        await asyncio.wait([connection])


async def test_load_when_nobody_listens_then_source_error_names_the_broker() -> None:
    """Rule: no broker is one clear error."""
    port = free_port()
    settings = LoadSettings(rate_hz=10, seconds=1.0, tags=1, broker_host="127.0.0.1", broker_port=port, connect_s=0.2)
    with pytest.raises(SourceError, match=str(port)):
        await run_load(settings, SystemClock())


async def test_run_when_terminated_then_it_settles_and_leaves_with_a_full_account(
    broker: Broker, tmp_path: Path
) -> None:
    """Rule: SIGTERM ends a run with exit 0, every PUBACK waited for, truth and summary written."""
    ready, truth = tmp_path / "ready.json", tmp_path / "truth.jsonl"
    command = [
        *(sys.executable, "-m", "firmware_sim", "run", "--athletes", "4", "--mqtt", f"127.0.0.1:{broker.port}"),
        *("--ready-file", str(ready), "--truth-out", str(truth), "--roster-out", str(tmp_path / "r.json"), "--json"),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            await until(ready.exists)
            await until(lambda: truth.stat().st_size > 0)
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    summary = json.loads(out)
    assert json.loads(ready.read_bytes())["hci_port"] > 0
    assert summary["frames_sent"] == summary["frames_acked"] == len(truth.read_bytes().splitlines()) > 0
    assert json.loads((tmp_path / "truth.summary.json").read_bytes()) == summary
