"""Predictions over HTTP, with real models of the test's own making, and as a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import onnx
import pytest
import structlog
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper
from prometheus_client.parser import text_string_to_metric_families

from cloud.registry.release import release, rollback, setup_releases
from cloud.serving.app import build_app
from cloud.serving.token import read_token
from cloud.settings import Layout, ServingSettings
from cloud.training.export import OnnxModel
from shared.clock import ManualClock
from shared.errors import ConfigError
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.team import HISTORY, HORIZON, TEAM_GRAPH
from shared.model_card import GoldenVector, file_sha256, tensor, write_card
from tests.factories import model_card, write_model
from tests.tools import BOUND_S, ROOT, until

NAMES = [name for name, _ in ATHLETE_EFFORT.features]
ROW = dict.fromkeys(NAMES, 1.0)


def graph_model() -> bytes:
    """Return a model of the trajectory model's shape: offset = movement so far + number of players, sigma 1 + |offset|.

    The count makes each answer depend on who is in the graph, and so on the mask of players that fill it up.
    """
    nodes = [
        helper.make_node("Gather", ["history", "last"], ["newest"], axis=2),
        helper.make_node("Gather", ["history", "first"], ["oldest"], axis=2),
        helper.make_node("Sub", ["newest", "oldest"], ["moved"]),
        helper.make_node("ReduceSum", ["mask", "player_axis"], ["count"], keepdims=1),
        helper.make_node("Unsqueeze", ["count", "two_axes"], ["count4"]),
        helper.make_node("Add", ["moved", "count4"], ["one_step"]),
        helper.make_node("Tile", ["one_step", "steps"], ["offset"]),
        helper.make_node("Abs", ["offset"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["positive"]),
        helper.make_node("Unsqueeze", ["team", "two_axes"], ["team4"]),
        helper.make_node("Mul", ["team4", "zero"], ["nothing"]),
        helper.make_node("Add", ["positive", "nothing"], ["sigma"]),
    ]
    constants = {
        "last": np.array([HISTORY - 1]),
        "first": np.array([0]),
        "player_axis": np.array([1]),
        "two_axes": np.array([2, 3]),
        "steps": np.array([1, 1, HORIZON, 1]),
        "one": np.float32([1]),
        "zero": np.float32([0]),
    }
    shapes = {"history": ["B", "P", HISTORY, 2], "team": ["B", "P"], "mask": ["B", "P"]}
    made = helper.make_graph(
        nodes,
        "trajectory",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", "P", HORIZON, 2]) for n in ("offset", "sigma")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def graph(players: int, *, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    history = rng.uniform(0, 9, (players, HISTORY, 2)).astype(np.float32)
    return {"history": history.tolist(), "team": [float(p % 2) for p in range(players)], "mask": [1.0] * players}


def arrays(one: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array([values], np.float32) for name, values in one.items()}


def write_graph_model(folder: Path) -> OnnxModel:
    """Write the graph model with its card."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph_model())
    model, inputs = OnnxModel(graph_model()), arrays(graph(3))
    golden = GoldenVector(
        inputs={name: tensor(array) for name, array in inputs.items()},
        outputs={name: tensor(array) for name, array in model.run(inputs).items()},
    )
    card = model_card(
        file_sha256(folder / "model.onnx"),
        name="trajectory",
        feature_set=TEAM_GRAPH.set_id,
        feature_hash=TEAM_GRAPH.schema_hash,
        inputs=["history", "team", "mask"],
        outputs=["offset", "sigma"],
        golden=[golden],
        metrics={"ade_2s_m": 1.0},
        baseline={"ade_2s_m": 2.0},
    )
    write_card(card, folder / "card.json")
    return model


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A cloud with one version of each model."""
    layout = Layout(tmp_path / "cloud")
    write_model(layout.root / "models" / "effort" / "1.0.0", ranges={"elapsed": (0.0, 30.0)})
    write_graph_model(layout.root / "models" / "trajectory" / "1.0.0")
    return layout


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(layout: Layout, clock: ManualClock) -> Iterator[TestClient]:
    with TestClient(build_app(layout, ServingSettings(), clock, token=None)) as client:
        yield client


def effort(client: TestClient, **call: Any) -> dict[str, Any]:
    """Ask the effort model and return what it answered."""
    answer = client.post("/predict", json={"model": "effort", "input": ROW} | call)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_predict_when_rows_are_given_then_answers_are_the_models(client: TestClient) -> None:
    """One row, or many in their order, get what ONNX Runtime says, and whether the model knows such rows."""
    assert effort(client) == {
        "model": "effort",
        "version": "1.0.0",
        "feature_set": "athlete_effort@1",
        "output": {"prediction": float(len(NAMES)), "in_range": True},
    }
    rows = [ROW | {"elapsed": float(minute)} for minute in (0, 40, 20)]
    answer = client.post("/predict", json={"model": "effort", "inputs": rows}).json()
    assert [one["prediction"] for one in answer["outputs"]] == [sum(row.values()) for row in rows]
    assert [one["in_range"] for one in answer["outputs"]] == [True, False, True]


def test_predict_when_graphs_differ_in_size_then_each_is_answered_as_if_alone(
    client: TestClient, layout: Layout
) -> None:
    """Graphs of 1 to 64 players in one request, more than one call of the model should hold, keep their own answers."""
    model = OnnxModel((layout.root / "models" / "trajectory" / "1.0.0" / "model.onnx").read_bytes())
    graphs = [graph(players, seed=players) for players in (1, 3, 23, 64, 2, *[40] * 60)]
    answer = client.post("/predict", json={"model": "trajectory", "inputs": graphs}).json()
    assert len(answer["outputs"]) == len(graphs)
    for one, output in zip(graphs, answer["outputs"], strict=True):
        for name, expected in model.run(arrays(one)).items():
            np.testing.assert_allclose(np.array(output[name], np.float32), expected[0], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"model": "effort", "input": {"elapsed": NaN}}', 422, "Field required"),
        (json.dumps({"model": "effort", "input": ROW | {"elapsed": float("nan")}}).encode(), 422, "input.elapsed"),
        (json.dumps({"model": "effort", "inputs": [ROW, ROW | {"x": 1}]}).encode(), 422, "inputs.1.x: Extra"),
        (json.dumps({"model": "effort"}).encode(), 422, "give either `input` (one) or `inputs` (a list)"),
        (json.dumps({"model": "unheard", "input": ROW}).encode(), 404, "must be one of: effort, trajectory"),
        (json.dumps({"input": ROW}).encode(), 422, "`model` must be one of"),
        (json.dumps({"model": "strategy", "version": "1.0.0", "input": {}}).encode(), 422, "Field required"),
        (json.dumps({"model": "effort", "version": "9.9.9", "input": ROW}).encode(), 404, "known: 1.0.0"),
        (json.dumps({"model": "effort", "version": "../..", "input": ROW}).encode(), 404, "known: 1.0.0"),
        (json.dumps({"model": "trajectory", "input": graph(2) | {"mask": [1.0]}}).encode(), 422, "mask 1"),
        (b"[", 422, "not a JSON object"),
        (b"", 422, "not a JSON object"),
        (b"\xff\xfe", 422, "not a JSON object"),
        (b"[" * 100_000, 400, "body"),
    ],
    ids=str.split("NaN nan extra nothing unknown unnamed fields version path mask json empty bytes deep"),
)
def test_predict_when_request_is_wrong_then_it_says_where(
    client: TestClient, body: bytes, status: int, said: str
) -> None:
    """Every refusal is one sentence, and the service goes on."""
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, said in answer.json()["problem"]) == (status, True), answer.text
    assert effort(client)["version"] == "1.0.0"


def test_predict_when_model_gives_no_number_then_it_is_an_error(layout: Layout, clock: ManualClock) -> None:
    """What is no prediction never looks like one."""
    write_model(layout.root / "models" / "effort" / "1.0.1", version="1.0.1", body="nan_below_zero")
    with TestClient(build_app(layout, ServingSettings(), clock, token=None)) as client:
        answer = client.post("/predict", json={"model": "effort", "input": dict.fromkeys(NAMES, -1.0)})
        assert (answer.status_code, "no finite number" in answer.json()["problem"]) == (500, True)
        assert effort(client)["version"] == "1.0.1"


def test_models_when_newest_may_not_be_released_then_an_older_one_answers(layout: Layout, clock: ManualClock) -> None:
    """A model that is not better than its baseline is not served, by default or by name."""
    write_model(layout.root / "models" / "effort" / "1.0.1", version="1.0.1", metrics={"mae_bpm": 9.5})
    with TestClient(build_app(layout, ServingSettings(), clock, token=None)) as client:
        assert effort(client)["version"] == "1.0.0"
        answer = client.post("/predict", json={"model": "effort", "version": "1.0.1", "input": ROW})
        assert (answer.status_code, "not better than its baseline" in answer.json()["problem"]) == (409, True)
        listed = {one["model"]: one for one in client.get("/models").json()}
    assert (listed["effort"]["version"], listed["effort"]["versions"]) == ("1.0.0", ["1.0.0", "1.0.1"])
    assert listed["effort"]["baseline"] == {"mae_bpm": 9.0}
    assert (listed["strategy"]["version"], "no strategy was trained" in listed["strategy"]["refused"]) == (None, True)


def test_models_when_gateways_are_told_another_version_then_it_answers(layout: Layout, clock: ManualClock) -> None:
    """The default is what gateways run, also after a release and a rollback while the service runs."""
    setup_releases(layout, clock)
    release(layout, clock, "effort")
    for version in ("1.0.1", "1.0.2"):
        write_model(layout.root / "models" / "effort" / version, version=version, slope=2.0)
    with TestClient(build_app(layout, ServingSettings(), clock, token=None)) as client:
        assert effort(client)["version"] == "1.0.0"
        release(layout, clock, "effort", version="1.0.1")
        clock.advance(3.0)
        assert effort(client)["version"] == "1.0.1"
        rollback(layout, clock, "effort", "1.0.0")
        clock.advance(3.0)
        assert effort(client)["version"] == "1.0.0"
        assert effort(client, version="1.0.2")["output"]["prediction"] == 2.0 * len(NAMES)


def test_models_when_asked_for_again_and_again_then_each_is_loaded_once(layout: Layout, clock: ManualClock) -> None:
    """A version is read from disk once; of more than may be held the one unused longest goes."""
    for version in ("1.0.1", "1.0.2"):
        write_model(layout.root / "models" / "effort" / version, version=version)
    (layout.root / "models" / "trajectory" / "1.0.0" / "card.json").unlink()
    app = build_app(layout, ServingSettings(max_loaded=2), clock, token=None)
    with structlog.testing.capture_logs() as logs, TestClient(app) as client:
        for version in ("1.0.0", "1.0.2", "1.0.0", "1.0.1", "1.0.0", "1.0.2"):
            effort(client, version=version)
    loaded = [entry["version"] for entry in logs if entry["event"] == "model loaded"]
    assert loaded == ["1.0.2", "1.0.0", "1.0.1", "1.0.2"]


def counted(client: TestClient) -> dict[str, float]:
    """Return every sample of /metrics as Prometheus would store it, by name and labels."""
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_metrics_when_predictions_are_asked_then_each_counts_by_model_version_and_status(client: TestClient) -> None:
    """Answers and refusals count, also those that never reached a model; only what a model answered is timed."""
    for _ in range(3):
        effort(client)
    client.post("/predict", json={"model": "effort", "input": {}})
    client.post("/predict", json={"model": "effort", "version": "9.9.9", "input": ROW})
    client.post("/predict", content=b" " * (ServingSettings().max_body_bytes + 1))
    now = counted(client)
    requests = {name.partition(" ")[2]: value for name, value in now.items() if "serving_requests_total" in name}
    assert requests == {
        "model=effort status=200 version=1.0.0": 3,
        "model= status=422 version=": 1,
        "model= status=404 version=": 1,
        "model= status=413 version=": 1,
    }
    assert now["sideline_serving_seconds_count model=effort"] == 3
    assert now["sideline_serving_models_loaded"] == 2
    assert now["sideline_serving_in_flight"] == 0


def test_metrics_when_a_model_fails_then_it_counts_as_that_models(layout: Layout, clock: ManualClock) -> None:
    """What is no number is counted with its model and version, and said to nobody as an answer."""
    write_model(layout.root / "models" / "effort" / "1.0.1", version="1.0.1", body="nan_below_zero")
    with TestClient(build_app(layout, ServingSettings(), clock, token=None)) as client:
        failed = client.post("/predict", json={"model": "effort", "input": dict.fromkeys(NAMES, -1.0)})
        assert failed.status_code == 500
        assert counted(client)["sideline_serving_requests_total model=effort status=500 version=1.0.1"] == 1


def test_token_when_set_then_only_who_shows_it_is_answered(layout: Layout, clock: ManualClock) -> None:
    """Without it there is health and the description of the interface, which names the scheme."""
    with TestClient(build_app(layout, ServingSettings(), clock, token="secret")) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            assert client.post("/predict", json={"model": "effort", "input": ROW}, headers=headers).status_code == 401
            for page in ("/models", "/metrics"):
                assert client.get(page, headers=headers).status_code == 401
        shown = {"Authorization": "Bearer secret"}
        assert client.post("/predict", json={"model": "effort", "input": ROW}, headers=shown).status_code == 200
        assert client.get("/metrics", headers=shown).status_code == 200
        assert client.get("/healthz").json() == {"status": "ok"}
        schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]
    assert [scheme["scheme"] for scheme in schemes.values()] == ["bearer"]


def test_token_when_others_can_reach_the_service_then_it_is_needed(tmp_path: Path) -> None:
    """The loopback is open without one; any other address is not served without."""
    for host in ("127.0.0.1", "localhost", "::1"):
        assert read_token(ServingSettings(host=host), None) is None
    for host in ("0.0.0.0", "192.168.1.5", "gateway.local"):  # noqa: S104  refused
        with pytest.raises(ConfigError, match="token_file"):
            read_token(ServingSettings(host=host), None)
    (tmp_path / "token").write_text("secret\n", encoding="utf-8")
    assert read_token(ServingSettings(host="192.168.1.5"), tmp_path / "token") == "secret"


def test_openapi_when_read_then_it_describes_what_is_taken_and_given(client: TestClient) -> None:
    """Requests that are answered fit the published schema, those that are refused do not, and answers fit theirs."""
    published = client.get("/openapi.json").json()
    operation = published["paths"]["/predict"]["post"]

    def valid(schema: dict[str, Any], value: Any) -> bool:
        whole = {**schema, "components": published["components"]}
        jsonschema.Draft202012Validator.check_schema(whole)
        return jsonschema.Draft202012Validator(whole).is_valid(value)

    taken = operation["requestBody"]["content"]["application/json"]["schema"]
    given = operation["responses"]["200"]["content"]["application/json"]["schema"]
    for call in (
        {"model": "effort", "input": ROW},
        {"model": "effort", "version": "1.0.0", "inputs": [ROW, ROW]},
        {"model": "trajectory", "inputs": [graph(2), graph(3)]},
    ):
        assert valid(taken, call)
        assert valid(given, client.post("/predict", json=call).json())
    assert not valid(taken, {"model": "effort", "input": ROW | {"x": 1.0}})
    assert not valid(taken, {"model": "trajectory", "input": graph(65)})
    assert not valid(given, {"model": "effort", "version": "1.0.0", "output": {}})
    refused = published["components"]["schemas"]["Problem"]
    assert valid(refused, client.post("/predict", json={"model": "effort"}).json())


async def test_serve_command_when_started_then_answers_until_it_is_told_to_end(layout: Layout, tmp_path: Path) -> None:
    """The ready file says where; SIGTERM ends it cleanly."""
    ready = tmp_path / "ready.json"
    words = ["-m", "cloud", "serve", "--cloud-dir", layout.root, "--port", "0", "--ready-file", ready]
    process = await asyncio.create_subprocess_exec(sys.executable, *map(str, words), cwd=ROOT, stderr=PIPE)
    try:
        await until(lambda: ready.exists() or process.returncode is not None, bound_s=6 * BOUND_S)
        url = json.loads(ready.read_text(encoding="utf-8"))["url"]
        async with httpx.AsyncClient(base_url=url) as client:
            answers = await asyncio.gather(
                *(client.post("/predict", json={"model": "effort", "input": ROW}) for _ in range(20))
            )
        assert {answer.json()["output"]["prediction"] for answer in answers} == {float(len(NAMES))}
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
    assert not ready.exists()


def test_serving_when_imported_then_nothing_heavy_comes_with_it() -> None:
    """Predictions need ONNX Runtime and the web framework only."""
    heavy = ("torch", "mlflow", "sklearn", "apache_beam", "pandas", "lightning")
    code = f"import sys, cloud.serving.app; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
