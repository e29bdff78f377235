"""`python -m cloud train trajectory`: every choice of a training on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cloud.options import AsJson, CloudDir, MoreWeeks, SettingsFile, Weeks, parse_weeks
from cloud.settings import load_settings
from shared.clock import SystemClock

_FILES = "A recorded session (Parquet), repeatable; without it and --data-dir, what gateways sent."
_FOLDER = "Recordings of games in a public layout (see the data guide), or one file of them."
_CONFIG = "A configuration by name (sanity, coverage, production, probabilistic, shipped) or a YAML file."


def trajectory(
    data: Annotated[list[Path] | None, typer.Option("--data", help=_FILES, dir_okay=False)] = None,
    recordings: Annotated[Path | None, typer.Option("--data-dir", help=_FOLDER)] = None,
    weeks: Weeks = None,
    more_weeks: MoreWeeks = None,
    config: Annotated[str, typer.Option(help=_CONFIG)] = "sanity",
    batch_size: Annotated[int | None, typer.Option(help="Graphs a step.", min=1)] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Stop after so many passes over all moments.", min=1)] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop fitting after this long.", min=0.01)] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, 16-mixed or bf16-mixed.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.", min=0.0)] = None,
    find_learning_rate: Annotated[bool, typer.Option(help="Look for the learning rate first, and use it.")] = False,
    accumulate_grad_batches: Annotated[
        int | None, typer.Option(help="Batches whose gradients are summed.", min=1)
    ] = None,
    gradient_clip_val: Annotated[float | None, typer.Option(help="Longest gradient.", min=0.0)] = None,
    resume_from: Annotated[Path | None, typer.Option(help="Go on from this checkpoint.", dir_okay=False)] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Keep last.ckpt and the best three here.", file_okay=False)
    ] = None,
    probabilistic: Annotated[bool, typer.Option(help="Add a mixture of paths to what is forecast.")] = False,
    coverage: Annotated[
        bool | None, typer.Option("--coverage/--no-coverage", help="Also tell man from zone, from plays that state it.")
    ] = None,
    compile_model: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Compile the model.")] = None,
    devices: Annotated[int, typer.Option(help="Processes, or GPUs, to train with (DDP).", min=1)] = 1,
    deterministic: Annotated[bool, typer.Option(help="Only algorithms that give the same again.")] = False,
    progress_bar: Annotated[bool, typer.Option("--progress/--no-progress", help="Show a progress bar.")] = False,
    tune: Annotated[int, typer.Option(help="Try so many settings first, and fit with the best.", min=0)] = 0,
    experiment_name: Annotated[str | None, typer.Option(help="Name of the run in the tracker.")] = None,
    validate_data: Annotated[bool, typer.Option("--validate-data", help="Only check the recordings.")] = False,
    no_validation: Annotated[bool, typer.Option("--no-validation", help="Do not check the recordings.")] = False,
    export_onnx: Annotated[Path | None, typer.Option(help="Put a copy of the ONNX model here.", dir_okay=False)] = None,
    export_torchscript: Annotated[bool, typer.Option(help="Save it as traced TorchScript, too.")] = False,
    export_pt2: Annotated[bool, typer.Option(help="Save it as torch.export's .pt2, too.")] = False,
    int8: Annotated[bool, typer.Option("--export-int8", help="Save an ONNX model with int8 weights, too.")] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's seed.", min=0)] = None,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Record the run with MLflow.")] = True,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that forecasts everybody's movement; exit 1 when a straight line is as good."""
    from cloud.registry.gate import check_better  # noqa: PLC0415  --help stays instant
    from cloud.training.reporting import report  # noqa: PLC0415
    from cloud.training.trajectory.fitting import Options  # noqa: PLC0415
    from cloud.training.trajectory.job import Asked, Source, run_trajectory  # noqa: PLC0415
    from cloud.training.trajectory.settings import read_config  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    chosen_weeks = parse_weeks(weeks, more_weeks)
    if recordings is not None and data:
        raise typer.BadParameter("recordings come from --data or from --data-dir, not from both")
    if recordings is None and chosen_weeks:
        raise typer.BadParameter("only the recordings of --data-dir have weeks", param_hint="--weeks")
    if validate_data:
        _only_validate(recordings, chosen_weeks)
        return
    source = Source(
        files=data or [], folder=recordings, weeks=chosen_weeks, validate=not no_validation,
    )  # fmt: skip
    changes: dict[str, object] = {
        "batch": batch_size,
        "max_minutes": max_minutes,
        "precision": precision,
        "learning_rate": learning_rate,
        "accumulate": accumulate_grad_batches,
        "gradient_clip": gradient_clip_val,
        "decoder": "gmm" if probabilistic else None,
        "coverage": coverage,
        "compile": compile_model,
        "seed": seed,
    }
    options = Options(
        folder=checkpoints,
        resume_from=resume_from,
        devices=devices,
        deterministic=deterministic,
        progress_bar=progress_bar,
    )
    asked = Asked(
        max_epochs=max_epochs,
        find_learning_rate=find_learning_rate,
        tune=tune,
        options=options,
        say=None if as_json else _tell,
        track=track,
        experiment=experiment_name,
        onnx=export_onnx,
        torchscript=export_torchscript,
        pt2=export_pt2,
        int8=int8,
    )
    trained = run_trajectory(layout, SystemClock(), source, read_config(config, **changes), asked)
    if trained is None:  # another process reports for all
        return
    report(trained, as_json=as_json)
    check_better(trained.card)


def _tell(step: int, found: Mapping[str, float]) -> None:
    """Say in a line how the model does on the validation games beside the linear forecast."""
    name = "val_share_of_linear_"
    shares = {key[len(name) : -1]: value for key, value in found.items() if key.startswith(name)}
    of_linear = ", ".join(f"{second} s {share:.3f}" for second, share in shares.items())
    typer.echo(
        f"step {step}, {found['minutes']:.1f} min: error in shares of the linear forecast's: {of_linear}", err=True
    )


def _only_validate(folder: Path | None, weeks: list[int] | None) -> None:
    from cloud.datasets.validate.check import validate  # noqa: PLC0415  --help stays instant

    if folder is None:
        raise typer.BadParameter("there is nothing to check without it", param_hint="--data-dir")
    found = validate(folder, weeks)
    typer.echo(found.text())
    if not found.passed:
        raise typer.Exit(1)
