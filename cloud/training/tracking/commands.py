"""Commands on recorded runs: experiments list, show, compare, best, replay, ui."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloud.options import AsJson, CloudDir, SettingsFile
from cloud.settings import load_settings

if TYPE_CHECKING:
    from cloud.training.tracking.queries import RunSummary

Run = Annotated[str, typer.Argument(help="A run's id, or enough of its beginning.")]
Name = Annotated[str | None, typer.Option("--name", help="Only runs of this name: effort, trajectory, ...")]
Shown = Annotated[
    list[str] | None, typer.Option("--metric", help="A metric to show, repeatable; those with a baseline without it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    experiments = typer.Typer(help="What trainings did: recorded runs, side by side.", no_args_is_help=True)
    experiments.command("list")(list_all)
    experiments.command("show")(show)
    experiments.command("compare")(compare)
    experiments.command("best")(best)
    experiments.command("replay")(replay)
    experiments.command("ui")(ui)
    app.add_typer(experiments, name="experiments")


def list_all(
    name: Name = None,
    metric: Shown = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 20,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """List the newest runs with their data set and metrics."""
    from cloud.training.tracking.queries import list_runs  # noqa: PLC0415  --help stays instant
    from cloud.training.tracking.spool import waiting  # noqa: PLC0415
    from cloud.training.tracking.spooled import spool_folder  # noqa: PLC0415
    from cloud.training.tracking.tables import runs_table  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    runs = list_runs(layout, name=name, limit=limit)
    spooled = len(waiting(spool_folder(layout)))
    if as_json:
        typer.echo(msgspec.json.encode({"runs": runs, "spooled": spooled}).decode())
        return
    typer.echo(runs_table(runs, metric))
    if spooled:
        typer.echo(f"{spooled} more wait for MLflow: python -m cloud experiments replay")


def show(run: Run, cloud_dir: CloudDir = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Show one run: data, code, libraries, parameters and metrics."""
    from cloud.training.tracking.queries import find_run  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, cloud_dir)
    _say(find_run(layout, run), as_json=as_json)


def compare(
    runs: Annotated[list[str], typer.Argument(help="Ids of runs, or enough of their beginnings.")],
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Set runs side by side: all metrics, and the parameters, data and libraries in which they differ."""
    from cloud.training.tracking.queries import compare_runs  # noqa: PLC0415  --help stays instant
    from cloud.training.tracking.tables import comparison_table  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    found = compare_runs(layout, runs)
    typer.echo(msgspec.json.encode(found).decode() if as_json else comparison_table(found))


def best(
    metric: Annotated[str, typer.Argument(help="A metric, as `experiments list` names it.")],
    name: Name = None,
    highest: Annotated[bool, typer.Option("--highest", help="The highest value is best, not the lowest.")] = False,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the finished run with the lowest value of a metric; exit 2 when no run has it."""
    from cloud.training.tracking.queries import best_run  # noqa: PLC0415  --help stays instant
    from shared.errors import ConfigError  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    run = best_run(layout, metric, name=name, highest=highest)
    if run is None:
        raise ConfigError("metric", f"no finished run has {metric!r}; `python -m cloud experiments list` shows what is")
    _say(run, as_json=as_json)


def replay(cloud_dir: CloudDir = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Bring runs that MLflow could not take when they ran to it; doing it again changes nothing."""
    from cloud.training.tracking.mlflow_database import MlflowDatabase  # noqa: PLC0415  --help stays instant
    from cloud.training.tracking.spooled import replay as bring  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    done = bring(layout, MlflowDatabase(layout))
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    refused = f"; MLflow did not take {done.refused} events, see the log" if done.refused else ""
    left = f", {done.left} wait (still running, or unreadable)" if done.left else ""
    typer.echo(f"{done.runs} runs replayed{left}{refused}")


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine's loopback.")] = 5000,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
) -> None:
    """Show all runs in a browser: MLflow's pages on 127.0.0.1, until Ctrl-C."""
    from cloud.training.tracking.pages import show_pages  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, cloud_dir)
    typer.echo(f"http://127.0.0.1:{port}")
    show_pages(layout, port)


def _say(run: "RunSummary", *, as_json: bool) -> None:
    from cloud.training.tracking.tables import run_table  # noqa: PLC0415  --help stays instant

    typer.echo(msgspec.json.encode(run).decode() if as_json else run_table(run))
