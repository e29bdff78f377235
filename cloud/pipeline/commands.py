"""Command of the pipeline: pipeline."""

from typing import TYPE_CHECKING, Annotated

import typer

from cloud.options import AsJson, CloudDir, SettingsFile
from cloud.settings import load_settings

if TYPE_CHECKING:
    from cloud.pipeline.write import Report


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("pipeline")(pipeline)


def pipeline(
    beam_options: Annotated[list[str] | None, typer.Argument(help="Options for Beam, after --.")] = None,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Turn what the ingest received into tables; a run with nothing new changes nothing."""
    import logging  # noqa: PLC0415

    import msgspec  # noqa: PLC0415  --help stays instant

    # Beam warns at import about cloud libraries that we do not use.
    logging.getLogger().setLevel(logging.ERROR)

    from cloud.pipeline.main import run_pipeline  # noqa: PLC0415
    from cloud.setup import make_layout  # noqa: PLC0415
    from shared.clock import SystemClock  # noqa: PLC0415

    chosen, layout = load_settings(settings, cloud_dir)
    make_layout(layout)
    report = run_pipeline(
        layout, SystemClock(), session_gap_s=chosen.session_gap_s, beam_options=list(beam_options or [])
    )
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _show(report)


def _show(report: "Report") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    if not report.run:
        console.print(f"nothing new ({report.seconds:.1f} s)")
        return
    console.print(
        f"run {report.run}: {report.objects} objects, {sum(report.rows.values())} rows,"
        f" {sum(report.duplicates.values())} duplicates, {report.dead_letters} dead letters, {report.seconds:.1f} s"
    )
    table = Table("table", "version", "rows written", "duplicates left out")
    for name, version in report.versions.items():
        table.add_row(name, str(version), str(report.rows.get(name, "")), str(report.duplicates.get(name, "")))
    console.print(table)
    for reason, count in report.skipped.items():
        console.print(f"skipped {count} x {reason}")
