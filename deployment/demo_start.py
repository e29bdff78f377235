"""Starts every part of the demo as a process of its own, each until it is healthy."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from demo_processes import Child, Children, DemoError, answers, free_port, python
from demo_watch import HeadlessTablet
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = "gw-demo"
console = Console(highlight=False)


@dataclass
class Demo:
    """One run: where things are and what was measured so far."""

    options: argparse.Namespace
    folder: Path
    children: Children
    tablet: HeadlessTablet | None = None
    url: str = ""
    broker: str = ""
    simulator: Child | None = None
    retrained: dict[str, Any] | None = None
    retrained_ns: int | None = None
    report: dict[str, Any] = field(default_factory=dict)


def start(demo: Demo) -> None:
    """Start everything, each part until it is healthy.

    The gateway comes before the sensors: the broker keeps messages only for a client that has subscribed once.
    """
    begun = time.monotonic()
    with ThreadPoolExecutor() as together, ExitStack() as interrupted:
        # What the other threads wait for has to end first, or leaving the pool would wait for it too.
        interrupted.callback(demo.children.end_errands)
        start_parts(demo, together)
        interrupted.pop_all()
    console.print(
        f"\nready in {time.monotonic() - begun:.1f} s   [bold]{demo.url}[/bold]   (Ctrl-C stops everything)\n"
    )


def start_parts(demo: Demo, together: ThreadPoolExecutor) -> None:
    """Start each part; what does not need another part runs in a thread beside it."""
    broker_port, hci_port, cloud_port = start_broker(demo), free_port(), free_port()
    roster = together.submit(
        demo.children.run,
        python("firmware_sim", "roster", *squad(demo), "--roster-out", str(demo.folder / "roster.json")),
    )
    set_up(demo)
    roster.result()
    release = together.submit(release_first_models, demo)
    cloud = start_cloud(demo, cloud_port)
    gateway = start_gateway(demo, broker_port=broker_port, cloud_port=cloud_port, hci_port=hci_port)
    wait(demo, "cloud      ingest and release API", (demo.folder / "cloud-ready.json").exists, cloud)
    wait(demo, "gateway    store, live path, tablet page", (demo.folder / "gateway-ready.json").exists, gateway)
    demo.url = json.loads((demo.folder / "gateway-ready.json").read_text())["url"]
    wait(demo, "links      broker and cloud", lambda: links_up(demo, "broker", "cloud"), gateway)
    demo.tablet = HeadlessTablet(demo.url)
    demo.tablet.start()
    start_simulator(demo, broker_port, hci_port)
    wait(demo, "radio      the gateway's adapter is on the squad's air", lambda: links_up(demo, "adapter"), gateway)
    release.result()


def start_broker(demo: Demo) -> int:
    """Start mosquitto, or amqtt where it is not installed."""
    port = free_port()
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    kind, program = (
        ("demo.conf", mosquitto) if mosquitto else ("amqtt.yaml", str(Path(sys.executable).parent / "amqtt"))
    )
    text = (ROOT / "deployment" / "mosquitto" / kind).read_text().replace("@PORT@", str(port))
    config = demo.folder / kind
    config.write_text(text)
    if mosquitto:
        words = subprocess.run([mosquitto, "-h"], capture_output=True, text=True, check=False).stdout.split()
        demo.broker = f"mosquitto {words[2]}" if len(words) > 2 else "mosquitto"
    else:
        demo.broker = f"amqtt {version('amqtt')} (mosquitto is not installed)"
    child = demo.children.start("broker", [str(program), "-c", str(config)])
    wait(demo, f"broker     {demo.broker}", lambda: answers(port), child)
    return port


def set_up(demo: Demo) -> None:
    """Make the cloud's folder with its keys, and enrol the gateway."""
    cloud = str(demo.folder / "cloud")
    demo.children.run(python("cloud", "setup", "--cloud-dir", cloud))
    demo.children.run(python("cloud", "enroll", GATEWAY, "--cloud-dir", cloud, "--out", str(demo.folder / "enrolment")))


def release_first_models(demo: Demo) -> None:
    """Sign the models that come with the project, so that the gateway fetches them."""
    for folder in sorted(p for p in (ROOT / "deployment" / "models").iterdir() if p.is_dir()):
        demo.children.run(
            python("cloud", "release", folder.name, "--from", str(folder), "--cloud-dir", str(demo.folder / "cloud"))
        )


def start_cloud(demo: Demo, port: int) -> Child:
    """Start the cloud's API."""
    ready = str(demo.folder / "cloud-ready.json")
    words = ["--cloud-dir", str(demo.folder / "cloud"), "--port", str(port), "--ready-file", ready]
    return demo.children.start("cloud", python("cloud", "api", *words))


def start_gateway(demo: Demo, *, broker_port: int, cloud_port: int, hci_port: int) -> Child:
    """Write the gateway's settings and start it."""
    text = (ROOT / "deployment" / "settings" / "demo.toml").read_text()
    values = {
        "GATEWAY": GATEWAY,
        # Chosen once: a gateway that is started again has to come back at the same address.
        "PORT": demo.options.port or free_port(),
        "BROKER": broker_port,
        "CLOUD": cloud_port,
        "HCI": hci_port,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    settings, ready = demo.folder / "gateway.toml", demo.folder / "gateway-ready.json"
    settings.write_text(text)
    return demo.children.start(
        "gateway", python("edge", "run", "--settings", str(settings), "--ready-file", str(ready))
    )


def start_simulator(demo: Demo, broker_port: int, hci_port: int) -> None:
    """Start the squad: straps on the air, tags at the broker."""
    ready = demo.folder / "simulator-ready.json"
    words = [
        *squad(demo),
        "--mqtt",
        f"127.0.0.1:{broker_port}",
        "--hci-port",
        str(hci_port),
        "--ready-file",
        str(ready),
    ]
    words += [
        "--roster-out",
        str(demo.folder / "simulated-roster.json"),
        "--truth-out",
        str(demo.folder / "truth.jsonl"),
    ]
    demo.simulator = demo.children.start("simulator", python("firmware_sim", "run", *words))
    recordings = ", ".join(Path(path).name for path in demo.options.recording)
    wait(
        demo, f"simulator  {recordings or f'{demo.options.athletes} athletes and a ball'}", ready.exists, demo.simulator
    )


def squad(demo: Demo) -> list[str]:
    """Return the simulator's words for who trains."""
    recordings = [word for path in demo.options.recording for word in ("--recording", path)]
    return ["--seed", str(demo.options.seed), *(recordings or ["--athletes", str(demo.options.athletes)])]


def links_up(demo: Demo, *names: str) -> bool:
    """Return whether the gateway's links of these names are up."""
    up = {link["link"] for link in health(demo)["links"] if link["up"]}
    return set(names) <= up


def wait(demo: Demo, what: str, healthy: Callable[[], bool], child: Child, *, seconds: float = 60.0) -> None:
    """Wait until a part is healthy and say so."""
    begun = time.monotonic()
    while not healthy():
        demo.children.check()
        if time.monotonic() - begun > seconds:
            raise DemoError(f"{child.name} is not healthy after {seconds:.0f} s", f"see {child.log}")
        time.sleep(0.05)
    console.print(f"[green]✓[/green] {what}  ({time.monotonic() - begun:.1f} s)")


def health(demo: Demo) -> dict[str, Any]:
    """Ask the gateway for its health page as JSON."""
    try:
        with urllib.request.urlopen(f"{demo.url}/api/health", timeout=10) as answer:
            known: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, TimeoutError) as exc:
        raise DemoError(f"gateway does not answer: {exc}", f"see {demo.folder / 'logs' / 'gateway.log'}") from exc
    return known
