"""What one MQTT client costs: a queued backlog drained at QoS 1 through each, on a real mosquitto.

Every client resumes its session (the answer to another subscription would come behind all of the backlog, which aiomqtt
does not wait for), counts the messages and acknowledges them: those of the gateway's kind by hand and in
turns of 5 ms, as after a commit. Nothing is decoded. CPU-seconds are the client's process from its login to the last
message, all threads.

.venv/bin/python -m tests.bench.mqtt_clients [--messages 100000] [--rounds 3] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiomqtt
import mqtt5
import paho.mqtt.client as paho
import uvloop

from edge.settings import MqttSettings
from edge.sources.mqtt import MqttSource
from edge.sources.mqtt_packets import Dialect
from edge.sources.mqtt_v5 import Mqtt5
from edge.sources.mqtt_v311 import Mqtt311
from shared import log
from shared.clock import SystemClock
from tests.fakes.broker import Broker
from tests.tools import require_tool, until

CLIENT_ID = "bench"
TOPICS = "sideline/tags/+/position"
TURN_S = 0.005
LOAD_PER_S = 20_000


async def with_aiomqtt(port: int, count: int) -> None:
    """Count through aiomqtt's own iterator, which acknowledges by itself."""
    async with aiomqtt.Client("127.0.0.1", port, identifier=CLIENT_ID, clean_session=False) as client:
        if not count:
            await client.subscribe(TOPICS, qos=1)
            return
        async for _ in client.messages:
            count -= 1
            if not count:
                return


async def with_paho_in_aiomqtt(port: int, count: int) -> None:
    """Count in paho's callback inside aiomqtt's connection, and acknowledge by hand."""
    client = aiomqtt.Client("127.0.0.1", port, identifier=CLIENT_ID, clean_session=False)
    inner, arrived, seen = client._client, [], 0  # as the gateway had it
    inner.manual_ack_set(True)
    inner.on_message = lambda _client, _userdata, message: arrived.append((message.topic, message.payload, message.mid))
    async with client:
        if not count:
            await client.subscribe(TOPICS, qos=1)
        while seen < count:
            await asyncio.sleep(TURN_S)
            taken, arrived[:] = list(arrived), []
            seen += len(taken)
            for _, _, mid in taken:
                inner.ack(mid, 1)


async def with_paho(port: int, count: int) -> None:
    """Count in paho's callback on its own thread, and acknowledge by hand."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False, manual_ack=True)
    enough, seen = threading.Event(), 0

    def on_message(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        nonlocal seen
        seen += bool(message.topic and message.payload)
        client.ack(message.mid, 1)
        if seen == count:
            enough.set()

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe(TOPICS, 1)
    client.on_subscribe = lambda *_: None if count else enough.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    await asyncio.to_thread(enough.wait)
    client.disconnect()
    client.loop_stop()


async def with_mqtt5(port: int, count: int) -> None:
    """Count with mqtt5 for every packet, on asyncio's streams, and acknowledge by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    login = mqtt5.ConnectPacket(CLIENT_ID, session_expiry_interval=3600, receive_max=20_000)
    wanted = mqtt5.TopicFilter(TOPICS, max_qos=mqtt5.QoS.AT_LEAST_ONCE)
    writer.write(login.write() + mqtt5.SubscribePacket(1, [wanted]).write())
    kept, seen, granted = b"", 0, False
    while seen < count or not granted:
        kept += await reader.read(1 << 18)
        view, at, acks = memoryview(kept), 0, []
        while at < len(kept):
            try:
                packet, size = mqtt5.read(view[at:])
            except IndexError:
                break
            at += size
            if isinstance(packet, mqtt5.PublishPacket):
                seen += bool(packet.topic and packet.payload)
                acks.append(b"\x40\x02" + packet.packet_id.to_bytes(2, "big") if packet.packet_id else b"")
            granted = granted or isinstance(packet, mqtt5.SubAckPacket)
        kept = kept[at:]
        writer.write(b"".join(acks))
    writer.write(mqtt5.DisconnectPacket().write())
    await writer.drain()
    writer.close()


async def with_source(dialect: Dialect, port: int, count: int) -> None:
    """Take frames through the gateway's own source."""
    settings = MqttSettings(port=port, topics=("position",))
    source = MqttSource(settings, CLIENT_ID, SystemClock(), dialects=(dialect,))
    running = asyncio.create_task(source.run())
    if not count:
        await until(lambda: source.status.up)
    while count > 0:
        deliveries = await source.receive()
        count -= len(deliveries)
        source.acknowledge(deliveries)
        await asyncio.sleep(TURN_S)
    running.cancel()
    await asyncio.wait({running})


CLIENTS: dict[str, Callable[[int, int], Coroutine[Any, Any, None]]] = {
    "aiomqtt, its iterator": with_aiomqtt,
    "paho inside aiomqtt": with_paho_in_aiomqtt,
    "paho": with_paho,
    "mqtt5 for every packet": with_mqtt5,
    "the gateway's source, MQTT 3.1.1": partial(with_source, Mqtt311()),
    "the gateway's source, MQTT 5": partial(with_source, Mqtt5()),
}


def drain(name: str, port: int, count: int) -> dict[str, float]:
    """Run one client in this process and return what it took."""
    began, spent = time.perf_counter(), time.process_time()
    uvloop.run(CLIENTS[name](port, count))
    return {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - spent}


def measure(name: str, messages: int) -> dict[str, Any]:
    """Let the broker hold the messages for one client's session, then let that client take them."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(require_tool("mosquitto"), Path(folder))
        broker.start()
        try:
            _child("--client", name, "--port", str(broker.port), "--messages", "0")
            report = _run(
                "-m", "firmware_sim", "load", "--mqtt", f"127.0.0.1:{broker.port}", "--rate", str(LOAD_PER_S),
                "--seconds", str(messages / LOAD_PER_S), "--json",
            )  # fmt: skip
            if report["acked"] != messages:
                raise RuntimeError(f"the broker holds {report['acked']} of {messages} messages")
            took = _child("--client", name, "--port", str(broker.port), "--messages", str(messages))
        finally:
            broker.stop()
    return {
        "client": name,
        "messages_per_s": round(messages / took["seconds"]),
        "cpu_s_per_100k": round(took["cpu_s"] / messages * 100_000, 3),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _child(*words: str) -> dict[str, Any]:
    return _run("-m", "tests.bench.mqtt_clients", *words)


def _run(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure each client in turn, several rounds, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        log.configure()
        print(json.dumps(drain(options.client, options.port, options.messages)))
        return
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in CLIENTS}
    for _ in range(options.rounds):
        for name, found in rows.items():
            found.append(measure(name, options.messages))
            print(found[-1], flush=True)
    print(f"\naiomqtt {version('aiomqtt')}, paho {version('paho-mqtt')}, mqtt5 {version('mqtt5')}")
    print("| client | messages/s | CPU-s per 100k |\n|---|---|---|")
    for name, found in rows.items():
        rate = statistics.median(row["messages_per_s"] for row in found)
        cpu = statistics.median(row["cpu_s_per_100k"] for row in found)
        print(f"| {name} | {rate:,.0f} | {cpu:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
