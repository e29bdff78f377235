"""MLflow's pages over the cloud's runs, for people at this machine."""

import os
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from cloud.settings import Layout
from cloud.training.tracking.mlflow_database import open_client
from shared.errors import ConfigError

_HOST = "127.0.0.1"


def show_pages(layout: Layout, port: int) -> NoReturn:
    """Become MLflow's server on the loopback; it ends with the signal that ends this process.

    Raises: ConfigError when MLflow's server is not installed or the port is taken; StoreError when the database cannot
    be opened.
    """
    try:
        version("mlflow")
    except PackageNotFoundError as exc:
        raise ConfigError("mlflow", "its pages are not installed; run pip install 'sideline[pages]'") from exc
    _check_free(port)
    open_client(layout)
    os.execve(sys.executable, command(layout, port), environment())  # noqa: S606  no shell; it takes our place


def command(layout: Layout, port: int) -> list[str]:
    """Return the words that start the server; it answers to its own names only, so that no other page reaches it."""
    names = f"{_HOST}:{port},localhost:{port}"
    return [
        *(sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", names, "--backend-store-uri", f"sqlite:///{layout.mlflow_database}"),
        *("--default-artifact-root", layout.mlflow_artifacts.as_uri()),
    ]


def environment() -> dict[str, str]:
    """Return our environment without telemetry, and without the server's eight processes for evaluations."""
    return {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _check_free(port: int) -> None:
    """Check that a port is free, which MLflow's server would say in a trace.

    Raises: ConfigError.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
        except OSError as exc:
            raise ConfigError(f"{_HOST}:{port}", exc.strerror or str(exc)) from exc
