"""Man or zone on simulated plays whose coverage is known: train, export, and measure on another simulated league.

Run: python tests/bench/coverage.py [--games 96] [--held-out 40] [--minutes 10] [--folder FOLDER]. Plays come from
`python -m firmware_sim plays`, the model from `python -m cloud train trajectory --config coverage`, its figures from
`python -m cloud evaluate --protocol trajectory` of the ONNX file: a moment a second from the snap to the end, each
known by its last 1.0 s alone. Beside it stands logistic regression on how defenders stand, run and face. Teams, habits
and games of the held-out league (seed 2) are others than those learnt from (seed 1). Intervals are 95 % over its games.
`--folder` keeps everything; what already lies there is not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import ROLES, Scenes, normalise_direction
from cloud.evaluation.coverage import man_or_zone
from cloud.evaluation.protocols import Windows, trajectory_windows
from cloud.evaluation.report import ManOrZone, Report

ROOT = Path(__file__).parents[2]
TRAINED_ON, HELD_OUT = 1, 2
GUARDS = [ROLES.index(name) for name in ("LB", "DB")]
RECEIVERS = [ROLES.index(name) for name in ("WR", "TE", "RB")]


def call(*words: object) -> None:
    """Run a module's command in this tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *map(str, words)], env=environment, check=True, stdout=sys.stderr)


def league(folder: Path, games: int, seed: int) -> Path:
    """Return a folder of simulated plays, made if it is not there."""
    if not (folder / "plays.csv").exists():
        call("firmware_sim", "plays", "--games", games, "--seed", seed, "--out", folder)
    return folder


def trained(folder: Path, plays: Path, minutes: float) -> Path:
    """Return the ONNX file of a model of these plays, trained if it is not there."""
    model = folder / "model.onnx"
    if not model.exists():
        words = ("--config", "coverage", "--max-minutes", minutes, "--no-track", "--cloud-dir", folder / "cloud")
        call("cloud", "train", "trajectory", "--data-dir", plays, *words, "--export-onnx", model)
    return model


def evaluated(folder: Path, model: Path, plays: Path) -> Report:
    """Return the report of the trajectory protocol."""
    report = folder / "evaluation.json"
    call("cloud", "evaluate", "--model", model, "--data", plays, "--protocol", "trajectory", "--report", report)
    return msgspec.json.decode(report.read_bytes(), type=Report)


def by_hand(plays: Path) -> tuple[Scenes, Windows, NDArray[np.float64]]:
    """Return scenes, their windows, and 13 numbers of each window's newest frame."""
    scenes = normalise_direction(read_scenes(plays).scenes)
    windows = trajectory_windows(scenes, 1)
    moments = zip(windows.scene.tolist(), windows.frame.tolist(), strict=True)
    return scenes, windows, np.array([numbers(scenes, scene, frame) for scene, frame in moments])


def numbers(scenes: Scenes, scene: int, frame: int) -> NDArray[np.float64]:
    """Return mean and spread over linebackers and backs of six numbers, and how far receivers are from the nearest.

    The six: distance to the nearest receiver; how much one faces him, and the passer; how alike both run; own speed;
    speed towards him.
    """
    team, role = scenes.team[scene], scenes.role[scene]
    guards = np.flatnonzero((team == 0) & np.isin(role, GUARDS))
    receivers = np.flatnonzero((team == 1) & np.isin(role, RECEIVERS))
    place, velocity = scenes.xy_m[frame], scenes.velocity_mps[frame]
    facing = np.stack([np.cos(scenes.facing_rad[frame, guards]), np.sin(scenes.facing_rad[frame, guards])], axis=-1)
    gap = place[receivers][None] - place[guards][:, None]
    far = np.linalg.norm(gap, axis=-1)
    nearest, rows = far.argmin(axis=1), np.arange(len(guards))
    towards = gap[rows, nearest] / (far[rows, nearest, None] + 0.1)
    passer = place[role == ROLES.index("QB")][0] - place[guards]
    passer /= np.linalg.norm(passer, axis=-1, keepdims=True) + 0.1
    own, his = velocity[guards], velocity[receivers][nearest]
    speed = np.linalg.norm(own, axis=-1)
    alike = (own * his).sum(-1) / (speed * np.linalg.norm(his, axis=-1) + 1.0)
    turned = [(facing * way).sum(-1) for way in (towards, passer)]
    six = np.stack([far[rows, nearest], *turned, alike, speed, (own * towards).sum(-1)], axis=-1)
    return np.concatenate([six.mean(axis=0), six.std(axis=0), [far.min(axis=0).mean()]])


def baseline(learnt: Path, measured: Path) -> ManOrZone | None:
    """Return how well logistic regression on `numbers` does."""
    scenes, windows, rows = by_hand(learnt)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows, scenes.coverage[windows.scene])
    scenes, windows, rows = by_hand(measured)
    return man_or_zone(fitted.predict_proba(rows)[:, 1], windows, scenes)


def figures(found: ManOrZone | None) -> dict[str, Any]:
    """Return what is printed of a measurement: values with their intervals."""
    if found is None:
        raise SystemExit("the report says nothing of man and zone")
    shown: dict[str, Any] = msgspec.to_builtins(found)
    return json.loads(json.dumps(shown), parse_float=lambda text: round(float(text), 4))


def measure(folder: Path, games: int, held_out: int, minutes: float) -> dict[str, Any]:
    """Make both leagues, train, evaluate, and return the figures."""
    learnt, measured = league(folder / "learnt", games, TRAINED_ON), league(folder / "held-out", held_out, HELD_OUT)
    report = evaluated(folder, trained(folder, learnt, minutes), measured)
    two_seconds = next(one for one in report.horizons if one.horizon_s == 2.0)
    return {
        "model": figures(report.man_or_zone),
        "logistic_regression": figures(baseline(learnt, measured)),
        "games": {"learnt_from": games, "measured": report.data.groups},
        "ade_2s": {"unit": report.unit, **{name: round(e.ade.value, 3) for name, e in two_seconds.errors.items()}},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=96)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, asked.games, asked.held_out, asked.minutes)))


if __name__ == "__main__":
    main()
