"""From tables and recordings to data sets: rows on disk beside a card that names them by digest."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloud.datasets.card import DatasetCard, read_dataset_card, rows_digest
from cloud.datasets.replay import replay_files
from cloud.datasets.rows import FEATURES, MIN_COVERAGE, SPLIT, EffortRows, make_rows
from cloud.pipeline.tables import FEATURES as FEATURES_TABLE
from cloud.pipeline.tables import open_table, read_table
from cloud.settings import Layout
from shared.errors import ConfigError, ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT

EFFORT_TABLE = FEATURES_TABLE
_LABEL = "hr_bpm"
_ROWS_FILE = "rows.parquet"
_CARD_FILE = "card.json"


def effort_from_table(layout: Layout) -> tuple[EffortRows, DatasetCard]:
    """Return the effort rows of the newest version of the features table.

    Raises: ConfigError when there is no table or no usable row; ModelIncompatible when its features mean something
    else here; StoreError when it cannot be read.
    """
    root, path = str(layout.tables), layout.tables / EFFORT_TABLE
    if not path.exists():
        raise ConfigError(str(path), "is no table yet; run `python -m cloud pipeline` first")
    columns = ["session", "athlete", "time_ns", "coverage", *FEATURES, _LABEL, "feature_hash"]
    # One consistent read: the version is fixed before the rows are.
    version = int(open_table(root, EFFORT_TABLE).version())
    arrow = read_table(root, EFFORT_TABLE, version, columns=columns)
    hashes = set(arrow["feature_hash"].unique().to_pylist())
    if hashes - {ATHLETE_EFFORT.schema_hash}:
        raise ModelIncompatible(f"table {EFFORT_TABLE} holds features of another schema; run the pipeline again")
    rows = make_rows(
        session=np.asarray(arrow["session"].to_pylist(), np.str_),
        athlete=np.asarray(arrow["athlete"].to_pylist(), np.str_),
        time_ns=arrow["time_ns"].to_numpy(),
        features=np.column_stack([_float32(arrow, name) for name in FEATURES]),
        hr_bpm=_float32(arrow, _LABEL),
        coverage=_float32(arrow, "coverage").astype(np.float64),
    )
    query = f"{EFFORT_TABLE} version {version} where {_LABEL} is not null and coverage >= {MIN_COVERAGE}"
    return rows, _card(rows, version=str(version), query=query)


def effort_from_files(paths: list[Path]) -> tuple[EffortRows, DatasetCard]:
    """Return the effort rows of recorded sessions (see `replay_files`)."""
    rows = replay_files(paths)
    names = ", ".join(sorted(path.name for path in paths))
    query = f"{names} replayed where {_LABEL} is not null and coverage >= {MIN_COVERAGE}"
    return rows, _card(rows, version="files", query=query)


def write_dataset(layout: Layout, rows: EffortRows, card: DatasetCard) -> Path:
    """Write rows and card under `datasets/<name>/<version>-<digest>/` and return the folder; the card is last."""
    folder = layout.root / "datasets" / card.name / f"{card.version}-{card.digest[:12]}"
    if (folder / _CARD_FILE).exists() and read_dataset_card(folder / _CARD_FILE) == card:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_as_table(rows), folder / _ROWS_FILE, compression="zstd")
    (folder / _CARD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    return folder


def _card(rows: EffortRows, *, version: str, query: str) -> DatasetCard:
    if not len(rows):
        raise ConfigError(query, "gives no rows: each athlete needs a minute of positions and a heart rate")
    return DatasetCard(
        name="effort",
        version=version,
        digest=rows_digest(rows),
        feature_set=ATHLETE_EFFORT.set_id,
        feature_hash=ATHLETE_EFFORT.schema_hash,
        query=query,
        split=SPLIT,
        rows=len(rows),
        held_out_rows=int(rows.held_out.sum()),
        athletes=len(np.unique(rows.athlete)),
        held_out_athletes=len(rows.held_out_athletes),
        sessions=len(np.unique(rows.session)),
    )


def _as_table(rows: EffortRows) -> pa.Table:
    columns = {
        "session": pa.array(rows.session.tolist(), pa.string()),
        "athlete": pa.array(rows.athlete.tolist(), pa.string()),
        "time_ns": pa.array(rows.time_ns),
        **{name: pa.array(rows.feature(name)) for name in FEATURES},
        _LABEL: pa.array(rows.hr_bpm),
        "held_out": pa.array(rows.held_out),
    }
    return pa.table(columns)


def _float32(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), np.float32)
