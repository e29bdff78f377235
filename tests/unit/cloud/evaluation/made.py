"""Scenes and ONNX models whose right answers are known, for the tests of evaluation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cloud.datasets.public.football import FIELD
from cloud.datasets.scenes import NO_FRAME, NOBODY, ROLES, UNKNOWN_COVERAGE, Field, Scenes
from shared.features.base import FeatureSet
from shared.features.games import GAME_OUTCOME
from shared.features.team import BALL_TEAM, RATE_HZ, TEAM_GRAPH

FRAMES = 80
_CYCLE = ("WR", "DB", "QB", "LB", "OL", "TE")


def scenes(
    *,
    games: int = 6,
    plays: int = 2,
    players: int = 6,
    seed: int = 0,
    field: Field | None = FIELD,
    frames: int = FRAMES,
) -> Scenes:
    """Return plays in which everybody walks about at random, a ball in the last place, each second play leftwards."""
    rng = np.random.default_rng(seed)
    count = games * plays
    push = rng.normal(0.0, 0.6, (count, frames, players + 1, 2)).cumsum(axis=1) / RATE_HZ
    speed = rng.normal(0.0, 2.0, (count, 1, players + 1, 2)) + push
    xy_m = np.array([50.0, 25.0]) + rng.normal(0.0, 8.0, (count, 1, players + 1, 2)) + speed.cumsum(axis=1) / RATE_HZ
    team = np.tile(np.append(np.arange(players) % 2, BALL_TEAM), (count, 1)).astype(np.int8)
    kinds = [ROLES.index(_CYCLE[player % len(_CYCLE)]) for player in range(players)]
    first = np.arange(count + 1) * frames
    return Scenes(
        field=field,
        game=np.repeat([f"game{game}" for game in range(games)], plays),
        play=np.array([str(play) for play in range(count)]),
        first=first,
        xy_m=xy_m.reshape(-1, players + 1, 2).astype(np.float32),
        velocity_mps=speed.reshape(-1, players + 1, 2).astype(np.float32),
        facing_rad=rng.uniform(-np.pi, np.pi, (count * frames, players + 1)).astype(np.float32),
        team=team,
        role=np.tile(np.append(kinds, ROLES.index("ball")), (count, 1)).astype(np.int8),
        player=np.tile(np.arange(players + 1).astype(np.str_), (count, 1)),
        begin=first[:-1].copy(),
        end=first[1:] - 1,
        thrown=np.full(count, NO_FRAME),
        arrived=np.full(count, NO_FRAME),
        leftwards=np.arange(count) % 2 == 1 if field is not None else np.zeros(count, np.bool_),
        coverage=np.full(count, UNKNOWN_COVERAGE, np.int8),
    )


def without(found: Scenes, scene: int, player: int) -> Scenes:
    """Return the scenes with nobody in one place of one of them."""
    found.team[scene, player] = NOBODY
    found.xy_m[found.first[scene] : found.first[scene + 1], player] = np.nan
    return found


def straight_model(
    path: Path,
    features: FeatureSet = TEAM_GRAPH,
    *,
    sigma_m: float = 1.0,
    scale: float = 1.0,
    factors: tuple[float, ...] = (),
    zone_logit: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a model that keeps the velocity of the last step, times `scale`, and is `sigma_m` * t unsure of it.

    With `factors` it names a path for each, the offset times that, all as likely; with `zone_logit` it says zone by it.
    """
    horizon = dict(features.outputs)["offset"][0]
    ahead = np.arange(1, horizon + 1, dtype=np.float32)[:, None]
    constants: dict[str, NDArray[np.generic]] = {
        "newest": np.array([10]),
        "before": np.array([9]),
        "time_axis": np.array([2]),
        "xy": np.array([0, 1]),
        "ahead": ahead * np.float32(scale),
        "spread": ahead * np.float32(sigma_m / RATE_HZ) * np.ones((1, 2), np.float32),
        "zero": np.array(0.0, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["history", "xy"], ["place"], axis=3),
        helper.make_node("Gather", ["place", "newest"], ["last"], axis=2),
        helper.make_node("Gather", ["place", "before"], ["one_before"], axis=2),
        helper.make_node("Sub", ["last", "one_before"], ["step"]),
        helper.make_node("Mul", ["step", "ahead"], ["offset"]),
        helper.make_node("Mul", ["step", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "spread"], ["sigma"]),
    ]
    more: dict[str, list[str | int]] = {}
    if factors:
        paths = ["graphs", "players", len(factors)]
        more |= {"modes": [*paths, horizon, 2], "mode_sigma": [*paths, horizon, 2], "mode_logit": paths}
        constants |= {"factors": np.array(factors, np.float32)[:, None, None], "path_axis": np.array([2])}
        constants |= {"no_logit": np.zeros(len(factors), np.float32), "last_axes": np.array([2, 3])}
        nodes += [
            helper.make_node("Unsqueeze", ["offset", "path_axis"], ["one_path"]),
            helper.make_node("Mul", ["one_path", "factors"], ["modes"]),
            helper.make_node("Unsqueeze", ["sigma", "path_axis"], ["one_sigma"]),
            helper.make_node("Mul", ["modes", "zero"], ["no_modes"]),
            helper.make_node("Add", ["one_sigma", "no_modes"], ["mode_sigma"]),
            helper.make_node("ReduceSum", ["nothing", "last_axes"], ["no_one"], keepdims=0),
            helper.make_node("Unsqueeze", ["no_one", "path_axis"], ["no_path"]),
            helper.make_node("Add", ["no_path", "no_logit"], ["mode_logit"]),
        ]
    if zone_logit is not None:
        more["coverage_logit"] = ["graphs"]
        constants |= {"zone": np.array(zone_logit, np.float32), "player_axes": np.array([1, 2, 3])}
        nodes += [
            helper.make_node("ReduceSum", ["nothing", "player_axes"], ["no_graph"], keepdims=0),
            helper.make_node("Add", ["no_graph", "zone"], ["coverage_logit"]),
        ]
    return _write(path, features, nodes, constants, metadata, more)


def elo_model(path: Path, *, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a model on `game_outcome@1` that repeats the Elo probability."""
    nodes = [
        helper.make_node("Gather", ["features", "column"], ["log_odds"], axis=1),
        helper.make_node("Sigmoid", ["log_odds"], ["prediction"]),
    ]
    return _write(path, GAME_OUTCOME, nodes, {"column": np.array([0])}, metadata)


def named(features: FeatureSet, **more: object) -> dict[str, str]:
    """Return the metadata of a model of a feature set."""
    said = {"name": features.model, "feature_set": features.set_id, "feature_hash": features.schema_hash}
    return said | {key: value if isinstance(value, str) else json.dumps(value) for key, value in more.items()}


def _write(
    path: Path,
    features: FeatureSet,
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, NDArray[np.generic]],
    metadata: Mapping[str, str] | None,
    more: Mapping[str, Sequence[str | int]] | None = None,
) -> Path:
    axes = ["graphs", "players"][: features.row_axes]

    def values(sizes: tuple[tuple[str, tuple[int, ...]], ...]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*axes, *shape]) for name, shape in sizes]

    graph = helper.make_graph(
        nodes,
        "made",
        values(features.inputs),
        values(features.outputs)
        + [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (more or {}).items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, dict(named(features) if metadata is None else metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
