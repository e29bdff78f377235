"""Serves the ingest application."""

from pathlib import Path

from cloud.ingest.app import build_app
from cloud.listen import listen
from cloud.settings import CloudSettings, Layout
from shared.clock import Clock


def serve(layout: Layout, settings: CloudSettings, clock: Clock, ready_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises: ConfigError when the address cannot be bound; StoreError when the ledger cannot be opened.
    """
    listen(
        lambda: build_app(layout, settings, clock),
        part="ingest",
        host=settings.host,
        port=settings.port,
        ready_file=ready_file,
    )
