"""The trajectory model as ONNX, checked against torch at the sizes a gateway may meet."""

import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.export import Dim

from cloud.training.export import OnnxModel, largest_difference
from cloud.training.graph_model import TrajectoryModel
from shared.errors import ModelIncompatible
from shared.features.team import HISTORY

INPUTS = ("history", "team", "mask")
OUTPUTS = ("offset", "sigma")
OPSET = 20
TOLERANCE_M = 1e-3
SIZES = ((1, 1), (1, 2), (1, 23), (1, 61), (3, 11), (8, 1), (8, 23))
"""(graphs, players) at which the exported model must agree; sizes of 0 and 1 are where exporters specialise."""
_EXAMPLE = (2, 7)
_FIELD_M = (105.0, 68.0)


def to_onnx(model: TrajectoryModel) -> bytes:
    """Return the ONNX file, with any number of graphs and players.

    Only the dynamo exporter is used: the older one is silently wrong at other sizes.
    """
    example = tuple(torch.from_numpy(array) for array in sample(*_EXAMPLE, seed=0).values())
    # Each input has an object of its own: the exporter takes shared ones apart by identity.
    shapes = {name: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for name in INPUTS}
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", (FutureWarning))
        warnings.simplefilter("ignore", (DeprecationWarning))
        path = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                model.eval(),
                example,
                path,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=shapes,
                external_data=False,
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as exc:
            raise ModelIncompatible(f"the model cannot be exported: {exc}") from exc
        finally:
            noisy.setLevel(level)
        return _tidy(path.read_bytes())


def check_parity(model: TrajectoryModel, exported: bytes, *, seed: int) -> float:
    """Compare torch and ONNX at SIZES, with masked rows; return the largest difference in metres.

    Raises: ModelIncompatible when it is over 1 mm.
    """
    loaded = OnnxModel(exported)
    if loaded.inputs != list(INPUTS) or loaded.outputs != list(OUTPUTS):
        raise ModelIncompatible(f"the exported model has {loaded.inputs} -> {loaded.outputs}")
    worst = 0.0
    for index, (graphs, players) in enumerate(SIZES):
        inputs = sample(graphs, players, seed=seed + index)
        expected = run_torch(model, inputs)
        got = loaded.run(inputs)
        gap = max(largest_difference(got[name], expected[name]) for name in OUTPUTS)
        if not gap <= TOLERANCE_M:
            raise ModelIncompatible(f"the exported model differs by {gap:.3g} m with {graphs} graphs of {players}")
        worst = max(worst, gap)
    return worst


def run_torch(model: TrajectoryModel, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return what the trained model itself answers."""
    with torch.no_grad():
        answers = model.eval()(*(torch.from_numpy(inputs[name]) for name in INPUTS))
    return {name: answer.numpy() for name, answer in zip(OUTPUTS, answers, strict=True)}


def sample(graphs: int, players: int, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return made-up inputs: people who walk and run, a ball in last place, and of many some who are masked."""
    rng = np.random.default_rng(seed)
    start = rng.uniform((0.0, 0.0), _FIELD_M, (graphs, players, 1, 2))
    speed = rng.normal(0.0, 2.0, (graphs, players, 1, 2))
    path = start + speed * np.arange(HISTORY)[:, None] * 0.1 + rng.normal(0.0, 0.02, (graphs, players, HISTORY, 2))
    team = np.tile(np.arange(players) % 2, (graphs, 1)).astype(np.float32)
    mask = np.ones((graphs, players), np.float32)
    if players > 1:
        team[:, -1] = -1.0
        mask[:, 1:] = rng.random((graphs, players - 1)) > 0.2
    history = (path * mask[..., None, None]).astype(np.float32)
    return {"history": history, "team": team, "mask": mask}


def _tidy(exported: bytes) -> bytes:
    """Return the file with readable sizes and without the exporter's notes, which hold paths of this machine."""
    model = onnx.load_from_string(exported)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in enumerate(("graphs", "players")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
