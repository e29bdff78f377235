"""Beat-to-beat recordings: MMASH user folders and FIT files with `hrv` messages."""

import csv
import gzip
from pathlib import Path
from typing import IO, cast

import fitdecode
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firmware_sim.arrays import Floats
from shared.errors import ConfigError

_LONGEST_S = 4.0
"""A longer interval is a pause of the recorder, not a beat."""
_PLAUSIBLE_S = (0.27, 2.2)
_AVERAGED_BEATS = 5
_RR_UNITS_PER_S = 1024
_CRC = fitdecode.CrcCheck.RAISE
_LENIENT = fitdecode.ErrorHandling.IGNORE


def is_mmash(path: Path) -> bool:
    """Tell whether the path is a MMASH user folder."""
    return path.is_dir() and any((path / name).is_file() for name in ("RR.csv", "RR.parquet"))


def is_fit(path: Path) -> bool:
    """Tell whether the path is named like a FIT file."""
    name = path.name.lower()
    return name.endswith((".fit", ".fit.gz"))


def read_mmash(folder: Path) -> Floats:
    """Return the beat intervals (s) of a MMASH user.

    Raises: ConfigError when there is no column `ibi_s` with numbers.
    """
    table, text = folder / "RR.parquet", folder / "RR.csv"
    try:
        if table.is_file():
            return _beats(pq.read_table(table, columns=["ibi_s"])["ibi_s"].to_numpy(), folder)
        with text.open(newline="") as file:
            return _beats(np.array([float(row["ibi_s"]) for row in csv.DictReader(file)]), folder)
    except (OSError, KeyError, ValueError, pa.ArrowException) as exc:
        raise ConfigError(str(folder), "has no RR table with a column ibi_s in seconds") from exc


def read_fit(path: Path) -> Floats:
    """Return the beat intervals (s) of a FIT file's `hrv` messages.

    Raises: ConfigError when the file is no FIT file or has no `hrv` message.
    """
    beats: list[float] = []
    try:
        with _open(path) as file, fitdecode.FitReader(file, check_crc=_CRC, error_handling=_LENIENT) as reader:
            for frame in reader:
                if isinstance(frame, fitdecode.FitDataMessage) and frame.name == "hrv":
                    values = frame.get_value("time", fallback=())
                    beats.extend(value for value in _tuple(values) if value is not None)
    except (fitdecode.FitError, OSError, EOFError) as exc:
        raise ConfigError(str(path), f"is not a readable FIT file ({exc})") from exc
    if not beats:
        raise ConfigError(str(path), "has no hrv messages, so no RR intervals to replay")
    return _beats(np.array(beats), path)


class HeartReplay:
    """One strap that replays beat intervals for ever; bpm is the mean of the last five plausible beats."""

    def __init__(self, beats_s: Floats) -> None:
        self._beats_s = beats_s
        self._at = 0
        self._left_s = float(beats_s[0])
        self._recent: list[float] = []

    def step(self, dt_s: float) -> tuple[float, tuple[int, ...]]:
        """Advance; return (bpm, NaN before the first beat; RR in 1/1024 s that ended in this step)."""
        ended = []
        self._left_s -= dt_s
        while self._left_s <= 0.0:
            beat_s = float(self._beats_s[self._at])
            ended.append(round(beat_s * _RR_UNITS_PER_S))
            if _PLAUSIBLE_S[0] <= beat_s <= _PLAUSIBLE_S[1]:
                self._recent = [*self._recent[-_AVERAGED_BEATS + 1 :], beat_s]
            self._at = (self._at + 1) % len(self._beats_s)
            self._left_s += float(self._beats_s[self._at])
        bpm = 60.0 * len(self._recent) / sum(self._recent) if self._recent else float("nan")
        return bpm, tuple(ended)


def heart_limits_bpm(beats_s: Floats) -> tuple[int, int]:
    """Return (rest, max) for the roster: from this recording's plausible beats, with ordinary bounds."""
    plausible = beats_s[(beats_s >= _PLAUSIBLE_S[0]) & (beats_s <= _PLAUSIBLE_S[1])]
    if plausible.size == 0:
        return 60, 190
    slow, fast = np.percentile(60.0 / plausible, [2.0, 99.5])
    return round(float(np.clip(slow, 38.0, 75.0))), round(float(np.clip(fast, 185.0, 210.0)))


def _beats(values_s: Floats, where: Path) -> Floats:
    values_s = values_s.astype(np.float64)
    kept = values_s[np.isfinite(values_s) & (values_s > 0.1) & (values_s <= _LONGEST_S)]
    if kept.size == 0:
        raise ConfigError(str(where), "has no beat interval between 0.1 and 4 s")
    return kept


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _tuple(values: object) -> tuple[float | None, ...]:
    return values if isinstance(values, tuple) else (cast("float | None", values),)
