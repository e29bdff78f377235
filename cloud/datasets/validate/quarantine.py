"""Where bad rows go: a CSV with file, row, the rules that are broken, and the row as it was."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cloud.datasets.public.tracks import Tracks
from cloud.datasets.validate.report import is_bad


def bad_rows(tracks: Tracks, broken: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows of the tracks break a rule that makes them bad, bool[R]."""
    bad = np.zeros(len(tracks), np.bool_)
    bad[broken["position"].to_numpy(np.int64)[is_bad(broken)]] = True
    return bad


def set_aside(path: Path, tracks: Tracks, broken: pd.DataFrame) -> None:
    """Add the bad rows of some tracks to the file, which is made with the first."""
    serious = broken[is_bad(broken)]
    if serious.empty:
        return
    rules = serious.groupby("position")["rule"].unique().str.join(" ")
    position = rules.index.to_numpy(np.int64)
    kept = pd.DataFrame({"file": "", "row": tracks.row[position], "rules": rules.to_numpy(), "content": ""})
    for number, file in enumerate(tracks.files):
        of_file = tracks.source[position] == number
        kept.loc[of_file, "file"] = file
        kept.loc[of_file, "content"] = _contents(Path(file), tracks.row[position][of_file])
    path.parent.mkdir(parents=True, exist_ok=True)
    kept.to_csv(path, mode="a", header=not path.exists(), index=False)


def _contents(file: Path, rows: NDArray[np.int64]) -> list[str]:
    """Return rows as they stand in a file: lines of text, JSON of a Parquet table, nothing of a vendor's format."""
    if file.suffix == ".parquet":
        found = pq.read_table(file).take(rows - 1).to_pylist()
        return [json.dumps(row, default=str) for row in found]
    if file.suffix not in {".csv", ".tsv"}:
        return [""] * len(rows)
    wanted = dict.fromkeys(rows.tolist(), "")
    last = max(wanted, default=0)
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines):  # the heading is number 0
            if number in wanted:
                wanted[number] = line.rstrip("\r\n")
            if number >= last:
                break
    return [wanted[row] for row in rows.tolist()]
