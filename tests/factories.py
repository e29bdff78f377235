"""Builders of valid things; a test names only what it is about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from shared.clock import NS_PER_S, Clock, ManualClock, stamp
from shared.features.athlete import ATHLETE_EFFORT
from shared.ids import AthleteId, SensorId
from shared.metrics.base import Profile
from shared.model_card import GoldenVector, ModelCard, file_sha256, tensor, write_card
from shared.quantities import STREAMS
from shared.readings import Frame, Readings
from shared.roster import Assignment, Roster, RosterAthlete, write_roster
from shared.windows import Window

START_NS = 1_790_000_000 * NS_PER_S
STRAP = SensorId("C0:00:00:00:00:01")
TAG = SensorId("tag-01")
ATHLETE = AthleteId("a01")
INPUTS = len(ATHLETE_EFFORT.features)


def readings(
    stream: str,
    values: Sequence[Sequence[float]] | NDArray[np.float64],
    *,
    times_ns: Sequence[int] | NDArray[np.int64] | None = None,
    sensor: SensorId = STRAP,
    athlete: AthleteId | None = ATHLETE,
    origin: str = "boot-0",
    first: int = 0,
    sequence: Sequence[int] | None = None,
    quality: int | Sequence[int] = 0,
) -> Readings:
    """Return a block; without times one reading per period of the stream's rate, from START_NS on."""
    rows = np.asarray(values, np.float64).reshape(-1, len(STREAMS[stream].quantities))
    count = len(rows)
    if times_ns is None:
        times_ns = START_NS + np.arange(count, dtype=np.int64) * round(NS_PER_S / STREAMS[stream].rate_hz)
    return Readings(
        sensor=sensor,
        stream=stream,
        origin=origin,
        sequence=np.array(range(first, first + count) if sequence is None else sequence, np.int64),
        time_ns=np.asarray(times_ns, np.int64),
        values=rows,
        quality=np.broadcast_to(np.asarray(quality, np.uint8), (count,)).copy(),
        athlete=athlete,
    )


def heart_rates(bpm: Sequence[float] | NDArray[np.float64], **given: Any) -> Readings:
    """Return one heart rate per second."""
    return readings("heart_rate", [(float(value), 1.0, np.nan) for value in bpm], **given)


def positions(xy_m: Sequence[Sequence[float]] | NDArray[np.float64], **given: Any) -> Readings:
    """Return positions at 10 Hz."""
    given.setdefault("sensor", TAG)
    xy = np.asarray(xy_m, np.float64).reshape(-1, 2)
    return readings("position", np.column_stack((xy, np.ones(len(xy)))), **given)


def window(*blocks: Readings, start_ns: int = START_NS, seconds: float = 1.0) -> Window:
    """Return one window holding these blocks."""
    return Window(
        athlete=ATHLETE,
        start_ns=start_ns,
        end_ns=start_ns + round(seconds * NS_PER_S),
        streams={block.stream: block for block in blocks},
    )


def frame(body: bytes, *, sensor: str = STRAP, channel: str = "2a37", clock: Clock | None = None) -> Frame:
    """Return a frame received now."""
    return Frame(sensor=SensorId(sensor), channel=channel, body=body, received=stamp(clock or ManualClock()))


def position_frame(n: int, *, t_ns: int = START_NS, clock: Clock | None = None, battery: int | None = None) -> Frame:
    """Return a tag's frame in our JSON profile."""
    tail = "" if battery is None else f',"battery":{battery}'
    text = f'{{"boot":"0badcafe","n":{n},"t_ns":{t_ns},"x_mm":{1000 + n},"y_mm":2000,"quality":90{tail}}}'
    return frame(text.encode(), sensor=TAG, channel="position", clock=clock)


def profile(athlete: AthleteId = ATHLETE, *, sex: str = "m", rest: float = 60.0, most: float = 190.0) -> Profile:
    """Return an athlete's profile."""
    return Profile(athlete=athlete, sex=sex, hr_rest_bpm=rest, hr_max_bpm=most)


def roster_athlete(athlete: str = ATHLETE, *, number: int = 1, team: int = 0, **given: Any) -> RosterAthlete:
    """Return a member of the roster."""
    values: dict[str, Any] = {"sex": "m", "hr_rest_bpm": 60.0, "hr_max_bpm": 190.0, "name": f"Player {number}"}
    return RosterAthlete(athlete=athlete, number=number, team=team, **(values | given))


def roster(athletes: int = 1) -> Roster:
    """Return a squad whose n-th athlete wears the n-th strap and the n-th tag."""
    names = [f"a{n:02d}" for n in range(1, athletes + 1)]
    return Roster(
        athletes=[roster_athlete(name, number=n) for n, name in enumerate(names, 1)],
        assignments=[
            assignment
            for n, name in enumerate(names, 1)
            for assignment in (
                Assignment(sensor=f"C0:00:00:00:00:{n:02X}", athlete=name),
                Assignment(sensor=f"tag-{n:02d}", athlete=name),
            )
        ],
    )


def write_gateway_files(folder: Path, more: str = "") -> Path:
    """Write a roster and a settings file; `more` is TOML added to it."""
    write_roster(roster(), folder / "roster.json")
    path = folder / "gateway.toml"
    path.write_text(f'gateway = "test-1"\nport = 0\n{more}', encoding="utf-8")
    return path


def effort_inputs(rows: int = 2, *, fill: float = 1.0) -> NDArray[np.float32]:
    """Return inputs of the effort model."""
    return np.full((rows, INPUTS), fill, np.float32)


def _linear() -> list[onnx.NodeProto]:
    return [helper.make_node("MatMul", ["features", "w"], ["prediction"])]


def _nan_below_zero() -> list[onnx.NodeProto]:
    """Right on golden vectors, not a number as soon as a feature is negative."""
    return [
        helper.make_node("MatMul", ["features", "w"], ["linear"]),
        helper.make_node("Sqrt", ["linear"], ["root"]),
        helper.make_node("Sub", ["root", "root"], ["nothing"]),
        helper.make_node("Add", ["linear", "nothing"], ["prediction"]),
    ]


def _always_nan() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["features", "w"], ["linear"]),
        helper.make_node("Sub", ["linear", "linear"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["prediction"]),
    ]


def _flat() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["features", "w"], ["column"]),
        helper.make_node("Squeeze", ["column"], ["prediction"]),
    ]


def _renamed() -> list[onnx.NodeProto]:
    return [helper.make_node("MatMul", ["features", "w"], ["speed"])]


def _two_columns() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["features", "w"], ["column"]),
        helper.make_node("Concat", ["column", "column"], ["prediction"], axis=1),
    ]


def _two_rows() -> list[onnx.NodeProto]:
    """Right on golden vectors of two rows, two answers for a single row."""
    return [
        helper.make_node("MatMul", ["features", "w"], ["column"]),
        helper.make_node("Expand", ["column", "two_rows"], ["prediction"]),
    ]


def _slow() -> list[onnx.NodeProto]:
    """Some milliseconds of matrix products that no optimizer can leave out."""
    nodes = [
        helper.make_node("MatMul", ["features", "wide"], ["row"]),
        helper.make_node("ReduceMean", ["row"], ["mean"], keepdims=1),
        helper.make_node("Add", ["square", "mean"], ["p0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"p{i}", "square"], [f"p{i + 1}"]) for i in range(4)]
    return [
        *nodes,
        helper.make_node("ReduceMax", ["p4"], ["peak"], keepdims=0),
        helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
        helper.make_node("MatMul", ["features", "w"], ["linear"]),
        helper.make_node("Add", ["linear", "nothing"], ["prediction"]),
    ]


BODIES: dict[str, Callable[[], list[onnx.NodeProto]]] = {
    "linear": _linear,
    "nan_below_zero": _nan_below_zero,
    "always_nan": _always_nan,
    "flat": _flat,
    "renamed": _renamed,
    "two_columns": _two_columns,
    "two_rows": _two_rows,
    "slow": _slow,
}


def onnx_bytes(*, slope: float = 1.0, body: str = "linear") -> bytes:
    """Return a real model of the effort model's shape: prediction [N, 1] = slope * sum of the features."""
    constants: dict[str, NDArray[Any]] = {"w": np.full((INPUTS, 1), slope, np.float32)}
    if body == "two_rows":
        constants["two_rows"] = np.array([2, 1], np.int64)
    if body == "slow":
        constants |= {
            "wide": np.full((INPUTS, 256), 1e-3, np.float32),
            "square": np.full((256, 256), 1e-3, np.float32),
            "zero": np.zeros((), np.float32),
        }
    shape: list[str | int | None] = ["N"] if body == "flat" else ["N", "columns" if body == "two_columns" else 1]
    if body == "two_rows":
        shape = [None, 1]
    nodes = BODIES[body]()
    graph = helper.make_graph(
        nodes,
        "effort",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", INPUTS])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def model_card(sha256: str, *, slope: float = 1.0, version: str = "1.0.0", **given: Any) -> ModelCard:
    """Return the card of such a model; `given` replaces fields."""
    features = effort_inputs()
    predicted = features.sum(axis=1, keepdims=True) * np.float32(slope)
    card = ModelCard(
        name="effort",
        version=version,
        feature_set=ATHLETE_EFFORT.set_id,
        feature_hash=ATHLETE_EFFORT.schema_hash,
        sha256=sha256,
        opset=18,
        inputs=["features"],
        outputs=["prediction"],
        golden=[GoldenVector(inputs={"features": tensor(features)}, outputs={"prediction": tensor(predicted)})],
        golden_tolerance=1e-3,
        latency_budget_ms=250.0,
        thresholds={"unusual_residual": 2.5, "residual_sd_bpm": 5.0},
        metrics={"mae_bpm": 4.0},
        baseline={"mae_bpm": 9.0},
        data_set="test",
        data_digest="0" * 64,
        code_version="test",
        seed=1,
        trained_ns=START_NS,
        intended_use="tests only",
    )
    return msgspec.structs.replace(card, **given)


def write_model(folder: Path, *, slope: float = 1.0, body: str = "linear", version: str = "1.0.0", **card: Any) -> Path:
    """Write model.onnx and card.json and return their folder; `card` replaces fields of the card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx_bytes(slope=slope, body=body))
    digest = file_sha256(folder / "model.onnx")
    write_card(model_card(card.pop("sha256", digest), slope=slope, version=version, **card), folder / "card.json")
    return folder


def tamper(path: Path) -> None:
    """Change one bit in the middle of a file."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
