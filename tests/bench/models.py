"""The section "Models" of RESULTS.md: reports of `python -m cloud evaluate` of several seeds, and what benches printed.

Run: PYTHONPATH=. python -m tests.bench.models FOLDER. The folder holds, each where there is one, `SEED_trajectory.json`
and `SEED_pass.json` (reports of one model a seed, `--report`), and what was printed, its last line JSON, by
`tests/bench/trajectory.py` (`speed.json`), `tests/bench/train_gpu.py` (`training.json`), `tests/bench/coverage.py`
(`coverage.json`) and `tests/bench/serving.py` (`serving.json`); `notes.md` says what must be said of the seeds.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.page import write_section

BARS = {1.0: (27, 11), 2.0: (31, 20), 4.0: (33, 25)}
"""By horizon in s: how far below ridge and below the linear control ADE must be, in percent."""
_AGAINST = ("ridge", "linear_control")
Report = dict[str, Any]


def main() -> None:
    """Write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    parts = ["## Models"]
    trajectory, passes = _reports(folder, "trajectory"), _reports(folder, "pass")
    if trajectory:
        parts.append(accuracy(trajectory, passes))
    if (folder / "notes.md").exists():
        parts.append((folder / "notes.md").read_text().strip())
    for name, write in (("coverage", coverage), ("speed", speed), ("training", training), ("serving", serving)):
        file = folder / f"{name}.json"
        if file.exists():
            parts.append(write(json.loads(file.read_text().splitlines()[-1])))
    write_section("models", "\n\n".join(parts))


def accuracy(trajectory: dict[str, Report], passes: dict[str, Report]) -> str:
    """Return a table of all seeds: error in shares of the baselines', and what the stated regions hold."""
    first = next(iter(trajectory.values()))
    data = first["data"]
    about = (
        "`python -m cloud train trajectory --config production --data-dir RECORDINGS --seed SEED`, then "
        f"`python -m cloud evaluate`: {data['groups']} games held out, {data['known']} to learn from and choose on; "
        f"lengths in {first['unit']}; 95 % intervals over games; {first['basis']}."
    )
    heading = "| horizon | seed | ADE / FDE | ADE below ridge (must) | below the linear control (must) | 80 % region |"
    lines = ["### Movement forecast", "", about, "", heading]
    lines.append("|---|---|---|---|---|---|")
    for place, found in enumerate(first["horizons"]):
        second = found["horizon_s"]
        if second in BARS and found["covered"]:
            rows = {seed: report["horizons"][place] for seed, report in trajectory.items()}
            lines += _rows(f"{second:g} s", rows, [f"{bar} %" for bar in BARS[second]])
    if passes:
        rows = {seed: report["horizons"][0] for seed, report in passes.items()}
        lines += _rows("pass in the air (must 0.88 / 1.74)", rows, ["–", "–"])
    return "\n".join(lines)


def _rows(label: str, by_seed: dict[str, Report], musts: Sequence[str]) -> list[str]:
    lines = []
    for seed, found in by_seed.items():
        errors = found["errors"]["model"]
        below = [_share(found["skill"][name]) for name in _AGAINST]
        held = _share(found["regions"]["80"]["stated"])
        lines.append(f"| {label} | {seed} | {errors['ade']['value']:.3f} / {errors['fde']['value']:.3f} | "
                     f"{below[0]} ({musts[0]}) | {below[1]} ({musts[1]}) | {held} |")  # fmt: skip
    if len(by_seed) > 1:
        means = [_spread([found["skill"][name]["value"] * 100 for found in by_seed.values()], "%") for name in _AGAINST]
        ade, fde = (
            _spread([found["errors"]["model"][name]["value"] for found in by_seed.values()]) for name in ("ade", "fde")
        )
        lines.append(f"| {label} | mean of seeds ± s | {ade} / {fde} | {means[0]} | {means[1]} | |")
    return lines


def coverage(found: Report) -> str:
    """Return how often man is told from zone, beside logistic regression and the commoner class."""
    model, plain = found["model"], found["logistic_regression"]
    return (
        "### Man or zone\n\n`PYTHONPATH=. python tests/bench/coverage.py`: simulated plays of a league that the model "
        f"does not know, {model['moments']:,} moments of {model['plays']} plays; the commoner class makes "
        f"{model['majority']:.1%}. After the snap these are easier to tell than real plays.\n\n"
        f"| | model (must 0.86) | logistic regression |\n|---|---|---|\n"
        + "\n".join(
            f"| {label} | {_interval(model[name])} | {_interval(plain[name])} |"
            for label, name in (("balanced accuracy", "balanced_accuracy"), ("accuracy", "accuracy"), ("ECE", "ece"))
        )
    )


def speed(found: Report) -> str:
    """Return graphs per second of one thread."""
    arms = {
        "ONNX Runtime": "onnx", "ONNX Runtime, int8 weights": "onnx_int8",
        "torch eager": "torch", "torch eager, sparse backend": "torch_sparse",
    }  # fmt: skip
    rows = "\n".join(
        f"| {label} | {found[arm + '_graphs_per_s']:,} | {found[arm + '_best_graphs_per_s']:,} | "
        f"{found[arm + '_to_torch']} |"
        for label, arm in arms.items()
    )
    return (
        f"### Graphs a second\n\n`python -m tests.bench.trajectory --config {found['config']}`: one thread, one graph "
        f"of {found['players']} at a time, {found['weights']:,} weights, arms in turns; must 1,000.\n\n"
        f"| | median | best round | × torch eager |\n|---|---|---|---|\n{rows}"
    )


def training(found: Report) -> str:
    """Return graphs per second of training."""
    rates = {
        name: value for name, value in found.items() if name.endswith("_graphs_per_s") and name.startswith("batch")
    }
    rows = "\n".join(
        f"| {name.removesuffix('_graphs_per_s').replace('_', ' ')} | {rate:,} |" for name, rate in rates.items()
    )
    loading = found["loading_graphs_per_s"]
    return (
        f"### Training\n\n`python -m tests.bench.train_gpu --device {found['device']}`, torch {found['torch']}: draw, "
        f"augment, forward, backward, step; on a CPU one thread, must 400. Loading alone: {loading['gathered']:,} a "
        f"second gathered by index, {loading['pyg']:,} by PyG's collation.\n\n| | graphs a second |\n|---|---|\n{rows}"
    )


def serving(found: Report) -> str:
    """Return the latency of /predict as the bench printed it."""
    rows = "\n".join(
        f"| {row['model']}, {row['inputs']} | {row['served_p50_ms']} / {row['served_p99_ms']} | "
        f"{row['served_cpu_ms']} | {row['onnx_p50_ms']} | {row['onnx_cpu_ms']} |"
        for row in found["served"]
    )
    return (
        "### /predict\n\n`PYTHONPATH=. python -m tests.bench.serving`: a server process on the loopback, one kept "
        "connection, beside ONNX Runtime called directly with the same inputs.\n\n"
        "| model, inputs a call | p50 / p99 ms | CPU ms | direct p50 ms | direct CPU ms |\n|---|---|---|---|---|\n"
        + rows
    )


def _reports(folder: Path, kind: str) -> dict[str, Report]:
    ending = f"_{kind}.json"
    files = sorted(folder.glob(f"*{ending}"), key=lambda file: (len(file.name), file.name))
    return {file.name.removesuffix(ending): json.loads(file.read_text()) for file in files}


def _interval(found: dict[str, float]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f}..{found['high']:.3f})"


def _share(found: dict[str, float]) -> str:
    return f"{100 * found['value']:.1f} ({100 * found['low']:.1f}..{100 * found['high']:.1f}) %"


def _spread(values: Sequence[float], unit: str = "") -> str:
    digits = 1 if unit else 3
    text = f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
    return f"{text} {unit}".strip()


if __name__ == "__main__":
    main()
