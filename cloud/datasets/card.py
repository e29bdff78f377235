"""DatasetCard: which rows a model was trained on, so that the same card always means the same bytes."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from cloud.datasets.rows import EffortRows
from shared.errors import ConfigError


class DatasetCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One data set: `version` names its source (a table's version or `files`), `digest` its rows and their split.

    `digest` is the SHA-256 over the rows in order of session, athlete and time. `held_out_rows` were kept back for
    measuring, by the rule in `split`.
    """

    name: str
    version: str
    digest: str
    feature_set: str
    feature_hash: str
    query: str
    split: str
    rows: int
    held_out_rows: int
    athletes: int
    held_out_athletes: int
    sessions: int

    @property
    def reference(self) -> str:
        """How a model card names this data set."""
        return f"{self.name}@{self.version}"


def rows_digest(rows: EffortRows) -> str:
    """Return the hexadecimal SHA-256 over all columns of sorted rows, little-endian."""
    digest = hashlib.sha256()
    for text in (rows.session, rows.athlete):
        digest.update("\0".join(text.tolist()).encode())
        digest.update(b"\1")
    digest.update(np.ascontiguousarray(rows.time_ns, "<i8").tobytes())
    digest.update(np.ascontiguousarray(rows.features, "<f4").tobytes())
    digest.update(np.ascontiguousarray(rows.hr_bpm, "<f4").tobytes())
    digest.update(np.ascontiguousarray(rows.held_out, np.uint8).tobytes())
    return digest.hexdigest()


def read_dataset_card(path: Path) -> DatasetCard:
    """Read a card.

    Raises: ConfigError when it is not one.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=DatasetCard)
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(str(path), str(exc)) from exc
