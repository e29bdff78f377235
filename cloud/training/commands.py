"""Commands that train models."""

import typer

from cloud.training.tabular import commands as tabular
from cloud.training.trajectory.commands import trajectory


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    train = typer.Typer(help="Train a model, export it to ONNX and check it.", no_args_is_help=True)
    tabular.register(train)
    train.command("trajectory")(trajectory)
    app.add_typer(train, name="train")
