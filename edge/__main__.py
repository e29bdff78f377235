"""The gateway's command line: `sideline-gateway` or `python -m edge`."""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from edge.doctor.commands import doctor
from edge.export.commands import export_session
from edge.files.commands import import_file
from edge.inference.gate import Verdict, check_model, limit_this_process
from edge.settings import GatewaySettings, load
from edge.sources.base import Source
from edge.sources.replay import ReplaySource, read_frames
from shared.clock import SystemClock
from shared.errors import ConfigError, SidelineError
from shared.log import configure
from shared.roster import read_roster
from shared.settings import read_secret

app = typer.Typer(
    name="sideline-gateway",
    help="The gateway beside the pitch: reads sensors, stores every reading, shows coaches what matters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Console()
_err = Console(stderr=True)
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE_BYTES = 256 * 1024
# New objects that are worth looking for cycles among: at 60 athletes so many are made in about a second.
_CYCLES_AMONG = 5_000

Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of the tablet page; 0 lets the system choose.")]
Settings = Annotated[Path, typer.Option("--settings", "-s", help="Settings file (TOML).", show_default=True)]


@app.command(epilog="Example: sideline-gateway run --settings gateway.toml --port 8080")
def run(
    settings: Settings = Path("gateway.toml"),
    port: Port = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once the page answers.")] = None,
    record: Annotated[Path | None, typer.Option(help="Also write every frame to this file, for `replay`.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM."""
    configure(level=log_level, json=log_json)
    chosen = load(settings)
    for option, path in (("--ready-file", ready_file), ("--record", record)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(option, f"there is no folder {path.parent}")
    if port is not None:
        chosen = msgspec.structs.replace(chosen, port=port)
    _run(_serve(chosen, ready_file=ready_file, record=record))


@app.command(epilog="Example: sideline-gateway replay training.frames --settings gateway.toml --speed 10")
def replay(
    recording: Annotated[Path, typer.Argument(help="A file written by `run --record`.")],
    settings: Settings = Path("gateway.toml"),
    speed: Annotated[float, typer.Option(min=0.0, help="Times real time; 0 is as fast as possible.")] = 1.0,
    port: Port = None,
    data_dir: Annotated[Path | None, typer.Option(help="Another folder for the data than the settings'.")] = None,
) -> None:
    """Play recorded frames through the whole gateway instead of listening to sensors."""
    configure()
    chosen = load(settings)
    if port is not None:
        chosen = msgspec.structs.replace(chosen, port=port)
    if data_dir is not None:
        chosen = msgspec.structs.replace(chosen, data_dir=str(data_dir.resolve()))
    if not recording.is_file():
        raise ConfigError(str(recording), "no such file")
    next(iter(read_frames(recording)), None)  # what is no recording is said before anything starts
    _run(_serve(chosen, recording=recording, speed=speed))


@app.command("check-model", epilog="Example: sideline-gateway check-model models/effort/1.0.1")
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with model.onnx and card.json.")],
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Try a model as the gateway does before it runs one: digest, features, golden vectors, latency."""
    limit_this_process()
    verdict: Verdict = check_model(folder, SystemClock())
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(verdict))
    elif verdict.passed:
        _out.print(f"passed; p99 {verdict.latency_ms_p99:.2f} ms")
    else:
        _out.print(f"refused: {escape(verdict.reason or '')}", soft_wrap=True)
    raise typer.Exit(0 if verdict.passed else 1)


@app.command("check-settings", epilog="Example: sideline-gateway check-settings --settings gateway.toml")
def check_settings(settings: Settings = Path("gateway.toml")) -> None:
    """Read the settings and the files that they name, and say what the gateway would use."""
    chosen = load(settings)
    read_roster(Path(chosen.roster_file))
    for name in _named_files(chosen):
        read_secret(Path(name))
    shown = msgspec.to_builtins(chosen) | {"resolved": _resolved(chosen)}
    _out.print_json(msgspec.json.encode(shown).decode("utf-8"))


def _named_files(settings: GatewaySettings) -> list[str]:
    """Return the files that the settings name and that a gateway with these settings reads."""
    named = [settings.mqtt.password_file, settings.mqtt.ca_file] if settings.mqtt else []
    if settings.sync.url:
        named += [settings.sync.token_file, settings.release.root_file]
    return [name for name in named if name]


def _resolved(settings: GatewaySettings) -> dict[str, object]:
    """Return what the settings' short words stand for. Raises: ConfigError."""
    from edge.pipeline.alerts import check_rules  # noqa: PLC0415  see _serve
    from edge.pipeline.projection import pitch_calibration  # noqa: PLC0415
    from edge.sensors.commands import conversations  # noqa: PLC0415
    from edge.sources.mqtt_topics import Topics  # noqa: PLC0415

    check_rules(settings.alerts)
    if settings.ble:
        conversations(settings.ble.polar_streams, settings.ble.movesense_paths)
    routes = Topics(settings.mqtt.topics).routes if settings.mqtt else ()
    pitch = pitch_calibration(settings.session)
    return {
        "topics": [{"topic": route.pattern, "format": route.channel} for route in routes],
        "pitch_residual_m": None if pitch is None else [round(off_m, 3) for off_m in pitch.residual_m],
    }


app.command("doctor", epilog="Example: sideline-gateway doctor --settings gateway.toml")(doctor)
app.command("import-file", epilog="Example: sideline-gateway import-file run.fit --athlete a07")(import_file)
app.command("export-session", epilog="Example: sideline-gateway export-session --format fit --output out")(
    export_session
)


async def _serve(
    settings: GatewaySettings,
    *,
    ready_file: Path | None = None,
    record: Path | None = None,
    recording: Path | None = None,
    speed: float = 1.0,
) -> None:
    # Loaded here, so that --help and check-model answer at once.
    from edge.app import Gateway  # noqa: PLC0415

    clock = SystemClock()
    sources: list[Source] | None = [ReplaySource(recording, clock, speed=speed)] if recording else None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def on_ready(url: str) -> None:
        _err.print(f"tablet page: [bold]{url}[/bold]")
        if ready_file is not None:
            temporary = ready_file.with_suffix(".tmp")
            temporary.write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))
            temporary.replace(ready_file)
        _settle()

    async with Gateway(settings, clock, sources=sources, record=record) as gateway:
        running = asyncio.create_task(gateway.run(on_ready), name="gateway")
        stopping = asyncio.create_task(stop.wait(), name="signals")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _hold_less_memory() -> None:
    """Give large pieces of memory back when they are let go: what one batch needed would stay with the process.

    glibc's mallopt(3), where there is one; Arrow then allocates like everybody else.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _settle() -> None:
    """Look for cycles no more among what is there at the start and stays: that would stop all else for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CYCLES_AMONG, *gc.get_threshold()[1:])


def _run(work: "asyncio._CoroutineLike[None]") -> None:
    _hold_less_memory()
    try:
        import uvloop  # noqa: PLC0415  not on every system
    except ImportError:
        asyncio.run(work)  # type: ignore[arg-type]
    else:
        uvloop.run(work)  # type: ignore[arg-type]


def main() -> None:
    """Run the command line; an error of ours is one clear line, never a traceback."""
    try:
        app()
    except* SidelineError as group:
        exc = group.exceptions[0]
        while isinstance(exc, BaseExceptionGroup):
            exc = exc.exceptions[0]
        _err.print(f"[bold red]error:[/bold red] {escape(str(exc))}", highlight=False, soft_wrap=True)
        raise SystemExit(2 if isinstance(exc, ConfigError) else 1) from None


if __name__ == "__main__":
    main()
