"""Makes the data directory and enrols gateways."""

import hashlib
import os
import shutil
from pathlib import Path

from cloud.database import open_database
from cloud.settings import Layout
from shared.errors import ConfigError
from shared.ids import GatewayId, new_token

_ROOT_METADATA = "1.root.json"


def make_layout(layout: Layout) -> None:
    """Make the folders and the ledger; doing it again changes nothing.

    Raises: ConfigError when a folder cannot be made; StoreError when the ledger cannot be opened.
    """
    folders = (
        layout.objects,
        layout.tables,
        layout.mlflow_artifacts,
        layout.release_metadata,
        layout.release_targets,
        layout.keys,
        layout.gateways,
    )
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        layout.keys.chmod(0o700)
    except OSError as exc:
        raise ConfigError(str(layout.root), exc.strerror or "cannot be made") from exc
    open_database(layout.ledger).close()


def enrol(layout: Layout, gateway: GatewayId, out: Path) -> list[Path]:
    """Give `gateway` a fresh token (an older one stops working) and return the files written for it.

    The cloud keeps only the token's SHA-256. `out` gets `token` (mode 0600) and, once releases are signed, `root.json`.
    Raises: ConfigError when a file cannot be written.
    """
    token = new_token()
    digest = layout.token_digest(gateway)
    written = [out / "token"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_secret(written[0], token)
        digest.parent.mkdir(parents=True, exist_ok=True)
        _write_secret(digest, hashlib.sha256(token.encode()).hexdigest())
        root = layout.release_metadata / _ROOT_METADATA
        if root.exists():
            written.append(out / "root.json")
            shutil.copyfile(root, written[-1])
    except OSError as exc:
        raise ConfigError(str(exc.filename or out), exc.strerror or "cannot be written") from exc
    return written


def _write_secret(path: Path, text: str) -> None:
    """Replace `path` with a file that only its owner may ever read."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    fresh.replace(path)
