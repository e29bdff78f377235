"""Latency of /predict: one input and a hundred in a call, against ONNX Runtime called directly with the same inputs.

Run: PYTHONPATH=. python -m tests.bench.serving [--seconds 5]. The models are those that ship in deployment/models; the
server is a process of its own (`python -m cloud serve`), asked over one kept connection on the loopback. Beside the
latencies stands the processor time of a call, which other work on the machine does not change.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from cloud.serving.app import SCHEMAS
from cloud.training.artifacts import read_artifact
from cloud.training.export import OnnxModel
from tests.tools import ROOT

SHIPPED = ROOT / "deployment" / "models"
MANY = 100
PLAYERS = 23
READY_S = 60
ROUNDS = 5
WARM_UP = 5


@contextmanager
def server(cloud_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a server over the shipped models and give its address and its process."""
    for name in ("effort", "trajectory"):
        card = read_artifact(SHIPPED / name)
        target = cloud_dir / "models" / name / card.version
        target.parent.mkdir(parents=True)
        target.symlink_to(SHIPPED / name)
    ready = cloud_dir / "ready.json"
    words = ["-m", "cloud", "serve", "--cloud-dir", str(cloud_dir), "--port", "0", "--ready-file", str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + READY_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        yield json.loads(ready.read_text(encoding="utf-8"))["url"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def inputs(model: str, count: int) -> list[dict[str, Any]]:
    """Return made-up inputs of a model."""
    rng = np.random.default_rng(1)
    if SCHEMAS[model].rows:
        names = [name for name, _ in SCHEMAS[model].features.features]
        return [dict(zip(names, rng.uniform(0, 6, len(names)).round(3).tolist(), strict=True)) for _ in range(count)]
    return [
        {
            "history": rng.uniform(0, 50, (PLAYERS, 11, 2)).round(3).tolist(),
            "team": [-1.0, *([0.0, 1.0] * 11)],
            "mask": [1.0] * PLAYERS,
        }
        for _ in range(count)
    ]


def milliseconds(call: Callable[[], object], seconds: float) -> list[float]:
    """Return the duration of each call, over about `seconds`, after some that do not count."""
    for _ in range(WARM_UP):
        call()
    found, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        call()
        found.append((time.perf_counter() - began) * 1000)
    return found


def measure(client: httpx.Client, process: psutil.Process, model: str, count: int, seconds: float) -> dict[str, Any]:
    """Measure one size of call, in turns with ONNX Runtime alone, so that both see the same machine."""
    made = inputs(model, count)
    schema, direct = SCHEMAS[model], OnnxModel((SHIPPED / model / "model.onnx").read_bytes())
    call = {"model": model, "inputs": made} if count > 1 else {"model": model, "input": made[0]}
    arrays = schema.arrays(schema.request.model_validate(call).batch())
    body = json.dumps(call).encode()

    def over_http() -> None:
        answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
        answer.raise_for_status()

    served: list[float] = []
    alone: list[float] = []
    served_cpu_s = alone_cpu_s = 0.0
    for _ in range(ROUNDS):
        began_s = sum(process.cpu_times()[:2])
        served += milliseconds(over_http, seconds / ROUNDS)
        served_cpu_s += sum(process.cpu_times()[:2]) - began_s
        began_s = time.process_time()
        alone += milliseconds(lambda: direct.run(arrays), seconds / 2 / ROUNDS)
        alone_cpu_s += time.process_time() - began_s
    return {
        "model": model,
        "inputs": count,
        "request_bytes": len(body),
        "calls": len(served),
        "served_cpu_ms": round(served_cpu_s * 1000 / (len(served) + ROUNDS * WARM_UP), 3),
        "onnx_cpu_ms": round(alone_cpu_s * 1000 / (len(alone) + ROUNDS * WARM_UP), 3),
        "served_p50_ms": round(float(np.percentile(served, 50)), 3),
        "served_p99_ms": round(float(np.percentile(served, 99)), 3),
        "onnx_p50_ms": round(float(np.percentile(alone, 50)), 3),
        "onnx_p99_ms": round(float(np.percentile(alone, 99)), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of calls over HTTP, for each row")
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as (url, process),
        httpx.Client(base_url=url) as client,
    ):
        rows = [
            measure(client, process, model, count, seconds) for model in ("effort", "trajectory") for count in (1, MANY)
        ]
    for row in rows:
        print(
            f"{row['model']:10} {row['inputs']:4} inputs: /predict p50 {row['served_p50_ms']} ms, p99 "
            f"{row['served_p99_ms']} ms, processor {row['served_cpu_ms']} ms; ONNX Runtime alone p50 "
            f"{row['onnx_p50_ms']} ms, p99 {row['onnx_p99_ms']} ms, processor {row['onnx_cpu_ms']} ms"
        )
    print(json.dumps({"served": rows}))


if __name__ == "__main__":
    main()
