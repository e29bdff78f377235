"""`sideline-gateway doctor`: what is well, what is not, and what to do, while the gateway runs or not."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from edge.settings import load
from shared.clock import SystemClock

if TYPE_CHECKING:
    from edge.doctor.check import Check, Findings, Probe
    from edge.doctor.surroundings import Subject

_out = Console()
_err = Console(stderr=True)
_MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[bold red]FAIL[/bold red]"}
_WIDTH = 22


def doctor(
    settings: Annotated[Path, typer.Option("--settings", "-s", help="Settings file (TOML).")] = Path("gateway.toml"),
    json: Annotated[bool, typer.Option("--json", help="Print the checks as one JSON object.")] = False,
) -> None:
    """Check disk, store, clock, adapters, broker, cloud and models, and say what to do. Changes nothing.

    Ends with 0 when nothing fails (warnings are allowed), 1 when something does, 2 when the settings are wrong.
    """
    # Loaded here, so that other commands answer at once.
    from edge.doctor.surroundings import Subject, running_gateway  # noqa: PLC0415

    chosen = load(settings)
    subject = Subject(path=settings, settings=chosen, clock=SystemClock(), running=running_gateway(chosen))
    checks = asyncio.run(_examine(subject, quiet=json))
    failed = sum(check.state == "fail" for check in checks)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"gateway": chosen.gateway, "failed": failed, "checks": checks}))
    else:
        warned = sum(check.state == "warn" for check in checks)
        _out.print(f"\n{len(checks) - failed - warned} ok, {warned} to look at, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def probes_of(subject: "Subject") -> "list[Probe]":
    """Return every group of checks, in the order in which they are made."""
    from edge.doctor.adapters import check_adapters  # noqa: PLC0415  see doctor
    from edge.doctor.broker import check_broker  # noqa: PLC0415
    from edge.doctor.certificates import check_certificates  # noqa: PLC0415
    from edge.doctor.check import Probe  # noqa: PLC0415
    from edge.doctor.clock import check_clock  # noqa: PLC0415
    from edge.doctor.cloud import check_cloud, check_releases  # noqa: PLC0415
    from edge.doctor.disk import check_disk  # noqa: PLC0415
    from edge.doctor.machine import check_machine  # noqa: PLC0415
    from edge.doctor.models import model_probes  # noqa: PLC0415
    from edge.doctor.settings_files import check_settings  # noqa: PLC0415
    from edge.doctor.store import check_durability, check_store  # noqa: PLC0415

    groups: dict[str, Callable[[Subject, Findings], Awaitable[None]]] = {
        "settings": check_settings,
        "machine": check_machine,
        "disk": check_disk,
        "durability": check_durability,
        "store": check_store,
        "clock": check_clock,
        "adapters": check_adapters,
        "certificates": check_certificates,
        "broker": check_broker,
        "cloud": check_cloud,
        "releases": check_releases,
    }
    return [
        *(Probe(group=group, run=partial(check, subject)) for group, check in groups.items()),
        *model_probes(subject),
    ]


async def _examine(subject: "Subject", *, quiet: bool) -> "list[Check]":
    from edge.doctor.check import examine  # noqa: PLC0415

    with _err.status("starting") as status:

        def on_start(group: str) -> None:
            status.update(f"checking {group}")

        def on_done(checks: "Sequence[Check]") -> None:
            if not quiet:
                _show(checks)

        return await examine(probes_of(subject), on_start=on_start, on_done=on_done)


def _show(checks: "Sequence[Check]") -> None:
    if checks:
        _out.print(f"\n[bold]{escape(checks[0].group)}[/bold]")
    for check in checks:
        line = f"  {_MARKS[check.state]} {escape(check.name.ljust(_WIDTH))} {escape(check.found)}"
        _out.print(line, highlight=False, soft_wrap=True)
        if check.advice:
            _out.print(f"       {' ' * _WIDTH}[bold]{escape(check.advice)}[/bold]", highlight=False, soft_wrap=True)
