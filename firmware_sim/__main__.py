"""Command line of the simulator: run, roster, export, plays, load."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from firmware_sim.also import with_sensors
from firmware_sim.devices.kinds import KINDS, parse_kinds
from firmware_sim.export import export_positions
from firmware_sim.faults import parse_faults
from firmware_sim.live import LiveSettings, run_live
from firmware_sim.load import LoadReport, LoadSettings, run_load
from firmware_sim.load_messages import mix_roster
from firmware_sim.plays.season import write_season
from firmware_sim.replay import open_recordings
from firmware_sim.roster import make_roster
from firmware_sim.session import Session
from firmware_sim.squad import SimulatedSession, squad_profiles
from firmware_sim.truth import Summary
from shared import log
from shared.clock import SystemClock
from shared.errors import ConfigError, SidelineError
from shared.roster import write_roster

T = TypeVar("T")
_LOAD_HZ = 5000

app = typer.Typer(
    name="sideline-sim",
    help="A squad of simulated athletes whose sensors speak the real protocols: Bluetooth LE straps and MQTT tags.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Athletes = Annotated[int, typer.Option(help="Number of athletes, 1 to 100; the ball comes on top.")]
Seed = Annotated[int, typer.Option(help="Same seed, same squad, same session.", min=0)]
Mqtt = Annotated[str, typer.Option(help="Broker, HOST:PORT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=RATE, repeatable. Per frame: duplicate, corrupt. Per sensor and second: dropout (1-6 s of silence), "
        "disconnect (straps). drift_ppm: largest clock rate error of a tag."
    ),
]
Recordings = Annotated[
    list[Path] | None,
    typer.Option(
        "--recording",
        help="Real data instead of simulated, repeatable. NFL tracking (a .tsv play, tracking.parquet or a folder): "
        "22 position tags and the ball, no heart rate. MMASH user folder: one strap with RR and bpm. FIT or FIT.gz "
        "with hrv messages: one strap with RR and bpm. --athletes, --seed and --rate-hz then shape nothing.",
    ),
]

Also = Annotated[
    str,
    typer.Option(
        help="Other Bluetooth sensors on the air, given to athletes one after the other; kinds with commas between: "
        f"{', '.join(KINDS)}."
    ),
]

_RUN_EXAMPLES = """Examples:

  sideline-sim run --athletes 22 --seed 7 --mqtt 127.0.0.1:1883 --hci-port 9001

  sideline-sim run --seconds 60 --truth-out truth.jsonl --ready-file ready.json --json

  sideline-sim run --fault duplicate=0.01 --fault corrupt=0.002 --fault dropout=0.01

  sideline-sim run --recording plays/tracking.parquet --recording ride.fit

  sideline-sim run --also running_pod,power_meter,imu_pod --roster-out roster.json
"""


@app.command(epilog=_RUN_EXAMPLES)
def run(
    *,
    athletes: Athletes = 22,
    seed: Seed = 7,
    seconds: Annotated[float, typer.Option(help="Length of the run; 0 runs until it is stopped.", min=0.0)] = 0.0,
    mqtt: Mqtt = "127.0.0.1:1883",
    hci_port: Annotated[int, typer.Option(help="TCP port of the adapter; 0 takes a free one.", min=0, max=65535)] = 0,
    adapters: Annotated[int, typer.Option(help="Adapters, on as many ports from that one on.", min=1, max=16)] = 1,
    roster_out: Annotated[Path | None, typer.Option(help="Write the roster here.")] = None,
    truth_out: Annotated[Path | None, typer.Option(help="Write every emission here, one JSON object a line.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written when straps and broker are ready.")] = None,
    fault: Faults = None,
    recording: Recordings = None,
    also: Also = "",
    rate_hz: Annotated[int, typer.Option(help="Positions a second from each tag, 1 to 50.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Run the sensors in real time until stopped."""
    host, port = _broker(mqtt)
    kinds = parse_kinds(also)
    _check_outputs({"--roster-out": roster_out, "--truth-out": truth_out, "--ready-file": ready_file})
    session = _session(athletes, seed, rate_hz, recording)
    if roster_out is not None:
        write_roster(with_sensors(session.roster, kinds), roster_out)
    settings = LiveSettings(
        seed=seed,
        seconds=seconds,
        broker_host=host,
        broker_port=port,
        hci_host="127.0.0.1",
        hci_port=hci_port,
        hci_adapters=adapters,
        faults=parse_faults(fault or []),
        truth_path=truth_out,
        ready_path=ready_file,
        also=kinds,
    )
    summary = _run_async(lambda: run_live(session, settings, SystemClock()))
    if truth_out is not None:
        truth_out.with_suffix(".summary.json").write_bytes(msgspec.json.encode(summary) + b"\n")
    _report(summary, "Emitted", as_json=as_json)


@app.command(epilog="Example:\n\n  sideline-sim roster --athletes 22 --seed 7 --roster-out roster.json")
def roster(
    athletes: Athletes = 22,
    seed: Seed = 7,
    roster_out: Annotated[Path, typer.Option(help="Write the roster here.")] = Path("roster.json"),
    recording: Recordings = None,
    also: Also = "",
) -> None:
    """Write only the roster, the same one that `run` with these options uses."""
    _check_outputs({"--roster-out": roster_out})
    squad = open_recordings(recording).roster if recording else make_roster(squad_profiles(athletes, seed))
    write_roster(with_sensors(squad, parse_kinds(also)), roster_out)


@app.command(epilog="Example:\n\n  sideline-sim export --athletes 22 --seed 1 --seconds 600 --out positions.parquet")
def export(
    *,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    athletes: Athletes = 22,
    seed: Seed = 7,
    seconds: Annotated[float, typer.Option(help="Session time to export.", min=0.1)] = 600.0,
    rate_hz: Annotated[int, typer.Option(help="Rows a second per athlete, 1 to 50.")] = 10,
    recording: Recordings = None,
) -> None:
    """Write a session as a table, faster than real time: session, time_ns, athlete, team, x_m, y_m, hr_bpm."""
    _check_outputs({"--out": out})
    session = _session(athletes, seed, rate_hz, recording)
    rows = export_positions(session, out, seconds=seconds, name=f"sim-{seed}-{athletes}", console=Console(stderr=True))
    Console().print(f"{rows:,} rows in {out}")


@app.command(epilog="Example:\n\n  sideline-sim plays --games 96 --seed 1 --out plays")
def plays(
    *,
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.", file_okay=False)],
    games: Annotated[int, typer.Option(help="Number of games.", min=1, max=9999)] = 96,
    plays_a_game: Annotated[int, typer.Option(help="Passing plays of each game.", min=1)] = 24,
    # A game's number begins with the seed and must fit into 64 bits.
    seed: Annotated[
        int, typer.Option(help="Same seed, same league: its teams, habits and plays.", min=0, max=999_999_999)
    ] = 7,
) -> None:
    """Write passing plays of American football with known coverage, in the layout of the Big Data Bowl 2021-2025."""
    count = write_season(out, games=games, plays=plays_a_game, seed=seed, console=Console(stderr=True))
    Console().print(f"{count:,} plays in {out}")


_LOAD_EXAMPLES = """Examples:

  sideline-sim load --rate 60000 --seconds 20 --tags 60 --mqtt 127.0.0.1:1883 --json

  sideline-sim load --mix --tags 60 --seconds 600 --roster-out roster.json --json
"""


@app.command(epilog=_LOAD_EXAMPLES)
def load(
    *,
    rate: Annotated[
        int | None, typer.Option(help="Positions a second over all tags; 0 sends as fast as it can.", min=0)
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to send.", min=0.1)] = 20.0,
    tags: Annotated[int, typer.Option(help="Number of tags the messages come from.", min=1)] = 60,
    mix: Annotated[
        bool,
        typer.Option(
            "--mix",
            help="As many athletes as --tags, each with a tag at 25 Hz (position), heart rate at 1 Hz (sideline+json) "
            "and motion in 10 frames of 10 samples a second (sideline+binary), in place of --rate.",
        ),
    ] = False,
    roster_out: Annotated[Path | None, typer.Option(help="Write the roster of the mix here.")] = None,
    mqtt: Mqtt = "127.0.0.1:1883",
    as_json: AsJson = False,
) -> None:
    """Publish positions at a wanted rate, or a squad's mix of sensors, and report what was reached."""
    host, port = _broker(mqtt)
    if mix and rate is not None:
        raise ConfigError("--rate", "the mix has its own rates")
    if roster_out is not None:
        if not mix:
            raise ConfigError("--roster-out", "is for --mix; `roster` writes that of the tags")
        _check_outputs({"--roster-out": roster_out})
        write_roster(mix_roster(squad_profiles(tags, 7)), roster_out)
    settings = LoadSettings(
        rate_hz=_LOAD_HZ if rate is None else rate,
        seconds=seconds,
        tags=tags,
        broker_host=host,
        broker_port=port,
        mix=mix,
    )
    _report(_run_async(lambda: run_load(settings, SystemClock())), "Load", as_json=as_json)


def main() -> None:
    """Run the command line: exit 2 for wrong usage or settings, 1 for a failure, one clear line each."""
    log.configure()
    try:
        app()
    except ConfigError as exc:
        _fail(exc, 2)
    except SidelineError as exc:
        _fail(exc, 1)


def _fail(exc: SidelineError, code: int) -> None:
    sys.stderr.write(f"sideline-sim: {exc}\n")
    sys.exit(code)


def _session(athletes: int, seed: int, rate_hz: int, recordings: list[Path] | None) -> Session:
    if recordings:
        return open_recordings(recordings)
    return SimulatedSession(athletes=athletes, seed=seed, rate_hz=rate_hz)


def _check_outputs(paths: dict[str, Path | None]) -> None:
    """Refuse output paths that cannot be files, before any work is done."""
    for option, path in paths.items():
        if path is not None and path.is_dir():
            raise ConfigError(option, f"{path} is a folder")
        if path is not None and not path.parent.is_dir():
            raise ConfigError(option, f"{path.parent} is no folder")


def _broker(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) <= 0xFFFF:
        raise ConfigError("--mqtt", f"{text!r} is not HOST:PORT")
    return host, int(port)


def _run_async(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run(start())
    return uvloop.run(start())


def _report(report: Summary | LoadReport, title: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    table = Table(title=title, show_header=False)
    for name, value in msgspec.structs.asdict(report).items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
