"""The command that measures an exported model on recordings."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud.options import AsJson, MoreWeeks, Weeks, parse_weeks
from cloud.outputs import prepare_file, prepare_folder


class Protocol(StrEnum):
    """What a model is measured by."""

    TRAJECTORY = "trajectory"
    PASSES = "pass"
    OUTCOME = "outcome"
    READINESS = "readiness"
    EFFORT = "effort"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[Path, typer.Option("--model", help="An exported ONNX file; a card.json beside it is read.")],
    data: Annotated[Path, typer.Option("--data", help="A file or folder in a documented layout.")],
    protocol: Annotated[
        Protocol, typer.Option(help="pass: passes in the air. outcome, readiness, effort: models on tables.")
    ],
    training: Annotated[
        Path | None, typer.Option("--training", help="Other recordings to fit the baselines on (trajectory, pass).")
    ] = None,
    weeks: Weeks = None,
    more_weeks: MoreWeeks = None,
    report: Annotated[Path | None, typer.Option("--report", help="Where the report goes as JSON.")] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Where pictures go.", file_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Measure an exported model on recordings beside plain baselines; games that it learnt from are left out.

    Baselines are fitted on the model's training games where the data hold them, on --training, or else by folds of
    whole games.
    """
    from cloud.evaluation.evaluate import evaluate_tables, evaluate_trajectories  # noqa: PLC0415  --help stays instant
    from cloud.evaluation.report import table, write_report  # noqa: PLC0415
    from shared.errors import ConfigError, ModelIncompatible  # noqa: PLC0415

    prepare_file(report)
    prepare_folder(plots)
    chosen_weeks, passes = parse_weeks(weeks, more_weeks), protocol is Protocol.PASSES
    moving = passes or protocol is Protocol.TRAJECTORY
    if not moving and (chosen_weeks or training):
        raise typer.BadParameter("only the protocols trajectory and pass have --weeks and --training")
    try:
        if moving:
            found = evaluate_trajectories(
                model, data, passes=passes, training=training, weeks=chosen_weeks, plots=plots
            )
        else:
            found = evaluate_tables(model, data, protocol.value, plots=plots)
    except ModelIncompatible as exc:
        raise ConfigError(str(model), exc.reason) from exc
    if report is not None:
        write_report(found, report)
    typer.echo(msgspec.json.encode(found).decode() if as_json else table(found))
