"""Pictures of an evaluation: error by horizon, stated against observed, and plays drawn on the field."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from cloud.datasets.public.football import FIELD, YARD_M
from cloud.datasets.scenes import Scenes
from cloud.evaluation.baselines import CONSTANT_POSITION, CONTROL
from cloud.evaluation.displacement import by_step
from cloud.evaluation.report import MODEL
from cloud.evaluation.spread import gaussian_rank, squared_radius
from cloud.evaluation.tables import Measurable
from cloud.evaluation.tabular import Reliability
from cloud.evaluation.tabular import reliability as bins_of
from cloud.evaluation.trajectory import Task, unit_of
from shared.features.team import BALL_TEAM, RATE_HZ

_DPI = 120
_LEVELS = np.linspace(0.02, 0.98, 49)
_PLAYS = 4
_MARGIN_M = 5.0
_RADIUS_80 = float(np.sqrt(-2.0 * np.log(0.2)))
"""Radius, in sigmas, of the region that holds 80 %."""
_COLOURS = {0: "tab:blue", 1: "tab:red", BALL_TEAM: "tab:brown"}

Floats = NDArray[np.floating]


def draw_trajectories(tasks: list[Task], scenes: Scenes, folder: Path) -> list[Path]:
    """Write the pictures of a trajectory or pass evaluation into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    longest = tasks[-1]
    drawn = {
        "error_by_horizon": error_by_horizon(longest, scenes),
        "regions": region_reliability(tasks),
        "plays": plays(longest, scenes),
    }
    return [_save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def draw_table(found: Measurable, folder: Path) -> list[Path]:
    """Write the picture of an evaluation on tables into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    target = found.rows.target
    if found.task.probability:
        stated = {who: bins_of(said, target) for who, said in found.said.items() if len(np.unique(said)) > 1}
        return [_save(reliability(stated), folder / "reliability.png")]
    picture = predicted_and_actual(found.said[MODEL], target, found.task.unit)
    return [_save(picture, folder / "predicted_and_measured.png")]


def error_by_horizon(task: Task, scenes: Scenes) -> Figure:
    """Return the mean error of every forecast, step by step, of the windows that reach furthest."""
    unit, unit_m = unit_of(scenes)
    figure, axes = _axes("s ahead", f"mean distance ({unit})")
    for name in (name for name in task.offsets if name != CONSTANT_POSITION):
        errors = by_step(task.distance(name)) / unit_m
        seconds = np.arange(1, len(errors) + 1) / RATE_HZ
        axes.plot(seconds, errors, label=name, linewidth=2.5 if name == MODEL else 1.2)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def region_reliability(tasks: list[Task]) -> Figure:
    """Return, for each horizon, which share of what happened lies in the regions that the model states."""
    figure, axes = _axes("stated probability of a region", "share of what happened in it")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    for task in tasks:
        last = task.forecasts.at(task.cases.steps)
        happened = np.take_along_axis(task.actual, (task.cases.steps - 1)[:, None, None], axis=1)
        rank = np.sort(gaussian_rank(squared_radius(last, happened)[:, 0]))
        observed = np.searchsorted(rank, _LEVELS, side="right") / len(rank)
        label = "at the arrival" if task.horizon_s is None else f"{task.horizon_s:g} s"
        axes.plot(_LEVELS, observed, label=label)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def reliability(found: Mapping[str, Reliability]) -> Figure:
    """Return stated against observed probabilities, one line for each who states them."""
    figure, axes = _axes("stated probability", "share that came true")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    for name, bins in found.items():
        axes.plot(bins.stated, bins.observed, marker="o", markersize=4, label=name)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def predicted_and_actual(predicted: Floats, actual: Floats, unit: str) -> Figure:
    """Return what was predicted against what was measured."""
    figure, axes = _axes(f"predicted ({unit})", f"measured ({unit})")
    axes.hexbin(predicted, actual, gridsize=40, mincnt=1, cmap="Blues")
    ends = [float(min(predicted.min(), actual.min())), float(max(predicted.max(), actual.max()))]
    axes.plot(ends, ends, color="grey", linewidth=1, linestyle=":")
    return figure


def plays(task: Task, scenes: Scenes) -> Figure:
    """Return windows from well to badly forecast: where players came from and went, the forecast with its
    80 % region, and the control.
    """  # noqa: D205  one sentence
    error = np.nanmean(task.distance(MODEL), axis=1)
    mean = np.bincount(task.cases.window, error) / np.bincount(task.cases.window)
    ranked = np.argsort(mean)
    picked = ranked[np.unique(np.linspace(0, len(ranked) - 1, _PLAYS + 2).round().astype(int)[1:-1])]
    unit, unit_m = unit_of(scenes)
    figure = Figure(figsize=(12, 8), layout="constrained")
    for place, window in enumerate(picked):
        axes = figure.add_subplot(2, 2, place + 1)
        _play(axes, task, scenes, int(window))
        title = f"game {scenes.game[task.windows.scene[window]]}, play {scenes.play[task.windows.scene[window]]}"
        axes.set_title(f"{title}: ADE {mean[window] / unit_m:.2f} {unit}", fontsize=9)
    figure.axes[0].legend(fontsize=8)
    return figure


def _play(axes: Axes, task: Task, scenes: Scenes, window: int) -> None:
    rows = np.flatnonzero(task.cases.window == window)
    team = scenes.team[task.windows.scene[window]]
    now = task.cases.history[rows, -1]
    for index, row in enumerate(rows):
        colour = _COLOURS[int(team[task.cases.player[row]])]
        first = index == 0
        axes.plot(*task.cases.history[row].T, color=colour, alpha=0.4)
        for style, name, path in (
            ("-", "what happened", task.actual[row]),
            ("--", "forecast", task.offsets[MODEL][row]),
            (":", "linear control", task.offsets[CONTROL][row]),
        ):
            whole = np.concatenate([now[index : index + 1], now[index] + path[: task.cases.steps[row]]])
            axes.plot(*whole.T, style, color=colour, linewidth=1.4, label=name if first else None)
        axes.plot(*now[index], "o", color=colour, markersize=4)
        end = int(task.cases.steps[row]) - 1
        width, height = 2.0 * _RADIUS_80 * task.forecasts.sigma[row, end]
        region = Ellipse(tuple(now[index] + task.offsets[MODEL][row, end]), width, height, color=colour, alpha=0.12)
        axes.add_patch(region)
    _frame(axes, task, scenes, rows)


def _frame(axes: Axes, task: Task, scenes: Scenes, rows: NDArray[np.int64]) -> None:
    """Cut out the part of the field where it happens, and draw the field's lines."""
    seen = np.concatenate([task.cases.history[rows], task.cases.future[rows]], axis=1).reshape(-1, 2)
    low, high = np.nanmin(seen, axis=0) - _MARGIN_M, np.nanmax(seen, axis=0) + _MARGIN_M
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x (m)", ylabel="y (m)", aspect="equal")
    if scenes.field is None:
        return
    length, width = scenes.field.length_m, scenes.field.width_m
    axes.plot([0, length, length, 0, 0], [0, 0, width, width, 0], color="black", linewidth=1)
    if scenes.field == FIELD:
        for line in range(1, 12):
            axes.axvline(10 * line * YARD_M, color="black", linewidth=0.3, alpha=0.4)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, without pyplot and its windows."""
    FigureCanvasAgg(figure).print_figure(path, dpi=_DPI)
    return path
