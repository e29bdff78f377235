"""MLflow's model registry after a release: which registered version gateways run, and as which version they know it."""

from typing import Any

from cloud.registry.release import Released
from cloud.settings import Layout
from cloud.training.tracking.mlflow_database import SHA256_TAG, open_client, translated
from shared.errors import ConfigError, StoreError
from shared.log import get_logger

RELEASED = "released"
_VERSION_TAG = "released_as"


def mark_released(layout: Layout, released: Released) -> str | None:
    """Give the registered version of a release the alias `released`; return it, or None when it was never tracked.

    The signed channel is what counts; this only tells people, so its failures are logged and nothing else.
    """
    if not layout.mlflow_database.exists():
        return None
    try:
        return _mark(layout, released)
    except (StoreError, ConfigError) as exc:
        get_logger("registry").warning("the model registry was not told of a release", problem=str(exc))
        return None


def _mark(layout: Layout, released: Released) -> str | None:
    client = open_client(layout)
    with translated():
        version = _registered(client, released)
        if version is not None:
            client.set_registered_model_alias(released.model, RELEASED, version)
            client.set_model_version_tag(released.model, version, _VERSION_TAG, released.version)
    return version


def _registered(client: Any, released: Released) -> str | None:
    """Return the registered version whose model file this is."""
    for entry in client.search_model_versions(f"name = '{released.model}'"):
        if entry.tags.get(SHA256_TAG) == released.sha256:
            return str(entry.version)
    return None
