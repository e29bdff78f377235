"""Stands in for the rival's cloud: counts what arrives at the broker upstream, once and again, and how old it is.

Subscribes at QoS 1, answers ThingsBoard's question for session limits as a server without limits does, and finds in any
JSON the objects that carry a position's `boot`, `n` and `t_ns`. `boot` names one run of the load generator.

python -m tests.bench.upstream --port PORT --counts FILE        until it is killed
"""

import argparse
import json
import socket
import time
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mqtt5
import msgspec
import numpy as np

_WRITE_S = 0.25
_LIMITS = b'{"maxPayloadSize":65536,"maxInflightMessages":100,"rateLimits":{},"gatewayRateLimits":{}}'
_REQUEST = "v1/devices/me/rpc/request/"


@dataclass(slots=True)
class Arrived:
    """Positions of one run of the load generator: `unique` and `twice` by device and number."""

    unique: int = 0
    twice: int = 0
    last_ns: int = 0
    ages_ms: "array[float]" = field(default_factory=lambda: array("d"))
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def take(self, device: str, n: int, age_ms: float) -> None:
        """Count one position."""
        known = self.seen[device]
        if n in known:
            self.twice += 1
            return
        known.add(n)
        self.unique += 1
        self.ages_ms.append(age_ms)

    def summary(self) -> dict[str, Any]:
        """Return what the bench reads."""
        p50, p99 = np.percentile(self.ages_ms, (50, 99)).tolist()
        return {"unique": self.unique, "twice": self.twice, "last_ns": self.last_ns, "p50_ms": p50, "p99_ms": p99}


class Counter:
    """All runs so far."""

    def __init__(self) -> None:
        self.runs: dict[str, Arrived] = defaultdict(Arrived)
        self.changed: set[str] = set()

    def take(self, body: bytes, now_ns: int) -> None:
        """Count what one message upstream holds: device names on its outer level."""
        said = msgspec.json.decode(body)
        for device, entries in said.items() if isinstance(said, dict) else ():
            for entry in entries if isinstance(entries, list) else ():
                values = entry.get("values", {}) if isinstance(entry, dict) else {}
                if "n" in values and "boot" in values:
                    self.changed.add(values["boot"])
                    run = self.runs[values["boot"]]
                    run.last_ns = now_ns
                    run.take(device, int(values["n"]), (now_ns - int(values["t_ns"])) / 1e6)


def connected(port: int) -> socket.socket:
    """Connect with a session that outlives connections, and subscribe to everything."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(mqtt5.ConnectPacket("upstream-counter", session_expiry_interval=3600).write())
    link.sendall(
        mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("#", max_qos=mqtt5.QoS.AT_LEAST_ONCE, no_local=True)]).write()
    )
    link.settimeout(_WRITE_S)
    return link


def answer(packet: mqtt5.PublishPacket, counter: Counter) -> bytes:
    """Take one message; return what is sent back for it."""
    acknowledged = b"" if packet.packet_id is None else mqtt5.PubAckPacket(packet.packet_id).write()
    if packet.topic.startswith(_REQUEST):
        if b"getSessionLimits" in packet.payload:
            topic = packet.topic.replace("request", "response")
            return acknowledged + mqtt5.PublishPacket(topic, _LIMITS).write()
    elif packet.topic == "v1/gateway/telemetry":
        counter.take(packet.payload, time.time_ns())
    return acknowledged


def count(port: int, file: Path) -> None:
    """Count until killed; the counts are written four times a second when they changed."""
    link, counter, waiting = connected(port), Counter(), bytearray()
    summaries: dict[str, dict[str, Any]] = {}
    written = 0.0
    while True:
        try:
            part = link.recv(1 << 20)
        except TimeoutError:
            part = b""
        else:
            if not part:
                raise SystemExit("the broker closed the connection")
        waiting += part
        used = 0
        replies = bytearray()
        while used < len(waiting):
            try:
                packet, size = mqtt5.read(memoryview(waiting)[used:])
            except IndexError:  # not all of it is here
                break
            used += size
            if isinstance(packet, mqtt5.PublishPacket):
                replies += answer(packet, counter)
        del waiting[:used]
        if replies:
            link.sendall(replies)
        if time.monotonic() - written > _WRITE_S:
            written = time.monotonic()
            summaries |= {boot: counter.runs[boot].summary() for boot in counter.changed}
            counter.changed.clear()
            temporary = file.with_suffix(".tmp")
            temporary.write_text(json.dumps(summaries))
            temporary.replace(file)


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counts", type=Path, required=True)
    options = parser.parse_args()
    count(options.port, options.counts)


if __name__ == "__main__":
    main()
