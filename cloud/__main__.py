"""The cloud's command line: builds the application out of each room's commands and turns errors into one line."""

import sys

import typer

from cloud import commands as everything
from cloud.datasets import commands as datasets
from cloud.evaluation import commands as evaluation
from cloud.ingest import commands as ingest
from cloud.pipeline import commands as pipeline
from cloud.registry import commands as registry
from cloud.serving import commands as serving
from cloud.training import commands as training
from cloud.training.tracking import commands as experiments
from shared.errors import ConfigError, SidelineError

_ROOMS = (everything, ingest, pipeline, datasets, training, evaluation, experiments, registry, serving)
_EXTRA_OF = {
    "train": ("torch", "torch_geometric", "lightning", "onnxscript"),
    "wandb": ("wandb",),
    "cloud": (
        *(
            "apache_beam",
            "defusedxml",
            "deltalake",
            "fastapi",
            "fitdecode",
            "kloppy",
            "matplotlib",
            "mlflow",
            "onnx",
            "onnxruntime",
            "openlineage",
            "pandas",
            "pandera",
            "prometheus_client",
        ),
        *(
            "pyarrow",
            "rich",
            "scipy",
            "shap",
            "sklearn",
            "skl2onnx",
            "sqlalchemy",
            "structlog",
            "tensorboard",
            "tuf",
            "uvicorn",
        ),
    ),
}


def build() -> typer.Typer:
    """Return the command-line application."""
    app = typer.Typer(
        name="sideline-cloud",
        help="Ingest, pipeline, training and release.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for room in _ROOMS:
        room.register(app)
    return app


def main() -> None:
    """Run the command line; exit 2 for a wrong setting, file or folder, 1 for any other error of ours."""
    try:
        try:
            build()()
        except ModuleNotFoundError as exc:
            extra = _extra_of(exc.name or "")
            if extra is None:
                raise
            raise ConfigError(str(exc.name), f"is not installed; run pip install 'sideline[{extra}]'") from exc
    except ConfigError as exc:
        print(f"sideline-cloud: {exc}", file=sys.stderr)  # noqa: T201  the command line's own voice
        sys.exit(2)
    except SidelineError as exc:
        print(f"sideline-cloud: {exc}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except OSError as exc:
        if exc.filename is None:  # not about a file that somebody named
            raise
        print(f"sideline-cloud: {exc.filename}: {exc.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def _extra_of(module: str) -> str | None:
    """Return the extra that brings a library; None for modules of ours, whose absence is a broken installation."""
    library = module.partition(".")[0]
    return next((extra for extra, libraries in _EXTRA_OF.items() if library in libraries), None)


if __name__ == "__main__":
    main()
