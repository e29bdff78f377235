"""The trajectory model as ONNX (the contract), `.pt2` and TorchScript, checked against torch at many sizes."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from cloud.datasets.scenes import ROLES
from cloud.training.export import OnnxModel, largest_difference
from cloud.training.trajectory.decoder import Answer
from cloud.training.trajectory.model import TrajectoryModel
from shared.errors import ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH
from shared.features.team import HISTORY, TEAM_GRAPH

OPSET = 20
TOLERANCE_M = 1e-3
INT8_TOLERANCE_M = 0.5
"""What rounding of weights may cost at made-up moments; on recorded ones it is some centimetres."""
SIZES = ((1, 1), (1, 2), (1, 23), (1, 61), (3, 11), (8, 1), (8, 23))
"""(graphs, players) at which the exported model must agree; sizes of 0 and 1 are where exporters specialise."""
MIXTURE_OUTPUTS = ("modes", "mode_sigma", "mode_logit")
COVERAGE_OUTPUT = "coverage_logit"
_LARGE_WEIGHTS = 1_000
_EXAMPLE = (2, 7)
_FIELD_M = (105.0, 48.0)


class OnPositions(nn.Module):
    """The model with the inputs of `team_graph@1`, by name and in order, and plain tensors as outputs."""

    features: FeatureSet = TEAM_GRAPH

    def __init__(self, model: TrajectoryModel) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(name for name, _ in self.features.inputs)
        self.outputs = output_names(model)

    def forward(self, history: Tensor, team: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return what `outputs` names."""
        return _tensors(self.model(history, torch.zeros_like(team), team, mask))


class OnField(OnPositions):
    """The same with the inputs of `field_graph@1`."""

    features = FIELD_GRAPH

    def forward(self, history: Tensor, role: Tensor, team: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return what `outputs` names."""
        return _tensors(self.model(history, role, team, mask))


def exportable(model: TrajectoryModel) -> OnPositions:
    """Return the model as it is exported, in evaluation mode.

    Raises: ModelIncompatible for the sparse backend, whose edges are built outside of the model.
    """
    if model.settings.backend != "dense":
        raise ModelIncompatible("only the dense backend is exported; the sparse one trains and compares")
    return (OnField(model) if model.on_field else OnPositions(model)).eval()


def output_names(model: TrajectoryModel) -> tuple[str, ...]:
    """Return the names of the outputs in their order."""
    mixture = MIXTURE_OUTPUTS if model.settings.decoder == "gmm" else ()
    return ("offset", "sigma", *mixture, *((COVERAGE_OUTPUT,) if model.settings.coverage else ()))


def to_onnx(model: TrajectoryModel, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the ONNX file, with any number of graphs and players, and what its readers must know.

    Only the dynamo exporter is used: the older one is silently wrong at other sizes.
    Raises: ModelIncompatible when the model cannot be exported.
    """
    given = exportable(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                given,
                _example(given),
                path,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=_shapes(given),
                external_data=False,
                input_names=list(given.inputs),
                output_names=list(given.outputs),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as exc:
            raise ModelIncompatible(f"the model cannot be exported: {exc}") from exc
        return _tidy(path.read_bytes(), metadata or {})


def to_pt2(model: TrajectoryModel, path: Path) -> Path:
    """Write the model as torch.export's `.pt2` and return its path; `torch.export.load(path).module()` runs it."""
    given = exportable(model)
    with _quiet():
        program = torch.export.export(given, _example(given), dynamic_shapes=_shapes(given))
        torch.export.save(program, path)
    return path


def to_torchscript(model: TrajectoryModel, path: Path) -> Path:
    """Write the model as traced TorchScript and return its path; kept for programs that read nothing newer."""
    given = exportable(model)
    with _quiet(), torch.no_grad():
        # Checked at many sizes afterwards; the tracer's own check knows only one.
        torch.jit.trace(given, _example(given), check_trace=False).save(str(path))  # type: ignore[no-untyped-call]
    return path


def check_parity(model: TrajectoryModel, exported: bytes, *, seed: int, tolerance_m: float = TOLERANCE_M) -> float:
    """Compare torch and ONNX at SIZES, with masked rows; return the largest difference in metres.

    Raises: ModelIncompatible when it is over `tolerance_m`.
    """
    loaded, given = OnnxModel(exported), exportable(model)
    if loaded.inputs != list(given.inputs) or loaded.outputs != list(given.outputs):
        raise ModelIncompatible(f"the exported model has {loaded.inputs} -> {loaded.outputs}")
    worst = 0.0
    for index, (graphs, players) in enumerate(SIZES):
        inputs = sample(graphs, players, features=given.features, seed=seed + index)
        expected, got = run_torch(model, inputs), loaded.run(inputs)
        gap = max(largest_difference(got[name], expected[name]) for name in given.outputs)
        if not gap <= tolerance_m:
            raise ModelIncompatible(f"the exported model differs by {gap:.3g} m with {graphs} graphs of {players}")
        worst = max(worst, gap)
    return worst


def check_module_parity(model: TrajectoryModel, module: nn.Module, *, seed: int) -> float:
    """Compare the model and a reloaded `.pt2` or TorchScript module at SIZES; return the largest difference in metres.

    Raises: ModelIncompatible when it is over 1 mm.
    """
    given = exportable(model)
    worst = 0.0
    for index, (graphs, players) in enumerate(SIZES):
        inputs = sample(graphs, players, features=given.features, seed=seed + index)
        expected = run_torch(model, inputs)
        with torch.no_grad():
            got = module(*(torch.from_numpy(inputs[name]) for name in given.inputs))
        gaps = [largest_difference(a.numpy(), expected[name]) for name, a in zip(given.outputs, got, strict=True)]
        if not max(gaps) <= TOLERANCE_M:
            raise ModelIncompatible(f"the saved module differs by {max(gaps):.3g} m with {graphs} graphs of {players}")
        worst = max(worst, *gaps)
    return worst


def to_int8(exported: bytes) -> bytes:
    """Return the ONNX file with the weights of its matrix products as int8, a channel each; about a third as large.

    Worth it for size, and for speed where most of the time goes to matrix products; the caller measures what it costs.
    The linear forecast stays as it is: rounded velocities would cost metres.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  only when it is asked for

    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, made = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        given.write_bytes(exported)
        quantize_dynamic(
            given, made, weight_type=QuantType.QInt8, per_channel=True, nodes_to_quantize=_large_products(exported)
        )
        return made.read_bytes()


def run_torch(model: TrajectoryModel, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return what the trained model itself answers."""
    given = exportable(model)
    with torch.no_grad():
        answers = given(*(torch.from_numpy(inputs[name]) for name in given.inputs))
    return {name: answer.numpy() for name, answer in zip(given.outputs, answers, strict=True)}


def sample(
    graphs: int, players: int, *, seed: int, features: FeatureSet = TEAM_GRAPH
) -> dict[str, NDArray[np.float32]]:
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
    made = {"team": team, "mask": mask}
    if features is FIELD_GRAPH:
        angle = rng.uniform(-np.pi, np.pi, (graphs, players, HISTORY, 1))
        path = np.concatenate([path, np.broadcast_to(speed, path.shape), np.cos(angle), np.sin(angle)], -1)
        made["role"] = rng.integers(0, len(ROLES), (graphs, players)).astype(np.float32)
    made["history"] = (path * mask[..., None, None]).astype(np.float32)
    return {name: made[name] for name, _ in features.inputs}


def _tensors(answer: Answer) -> tuple[Tensor, ...]:
    return tuple(value for value in answer if value is not None)


def _example(given: OnPositions) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in sample(*_EXAMPLE, features=given.features, seed=0).values())


def _shapes(given: OnPositions) -> dict[str, dict[int, object]]:
    # Each input has an object of its own: the exporter takes shared ones apart by identity.
    return {name: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for name in given.inputs}


def _large_products(exported: bytes) -> list[str]:
    """Return the names of the matrix products with large weights of two axes, as the quantizer calls them.

    It first takes a product with a bias (Gemm) apart, and names its product after it.
    """
    graph = onnx.load_from_string(exported).graph
    large = {
        weight.name for weight in graph.initializer if len(weight.dims) == 2 and np.prod(weight.dims) >= _LARGE_WEIGHTS
    }
    names = {"MatMul": "{}", "Gemm": "{}_MatMul"}
    return [
        names[node.op_type].format(node.name)
        for node in graph.node
        if node.op_type in names and large & set(node.input)
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, torch.jit.TracerWarning):  # type: ignore[attr-defined]
                warnings.simplefilter("ignore", category)
            yield
    finally:
        noisy.setLevel(level)


def _tidy(exported: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the file with readable sizes and without the exporter's notes, which hold paths of this machine."""
    model = onnx.load_from_string(exported)
    for value in (*model.graph.input, *model.graph.output):
        sizes = ("graphs",) if value.name == COVERAGE_OUTPUT else ("graphs", "players")
        for axis, name in enumerate(sizes):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
