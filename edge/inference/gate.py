"""What a model must pass before it may run here: golden vectors, finite outputs, latency on this machine.

`check_model` runs inside a process of its own (`python -m edge check-model`) with memory and time limits, so that a
model that crashes the runtime or never returns harms nothing else.
"""

import asyncio
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from shared.clock import NS_PER_MS, Clock
from shared.errors import ModelError, ModelIncompatible, ModelTooSlow

if TYPE_CHECKING:
    from edge.inference.session import LoadedModel

_CPU_LIMIT_S = 60
# Longer than the limit on processor time, so that a model without end meets that one first: only a machine that has
# no time for the check gets here.
_WALL_LIMIT_S = 120
_MEMORY_LIMIT_BYTES = 4 * 1024**3
_LATENCY_RUNS = 200
# Other work on the machine lengthens single runs; a model is refused for its own slowness, not for theirs.
_LATENCY_TRIES = 3


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Result of a check: `reason` is empty when the model passed."""

    passed: bool
    reason: str
    latency_ms_p99: float | None = None


def check_model(folder: Path, clock: Clock) -> Verdict:
    """Load and try a model; errors of ours become the verdict's reason."""
    from edge.inference.session import load_model  # noqa: PLC0415  the runtime: the gateway starts a process for it

    try:
        model = load_model(folder)
        check_golden(model)
        latency_ms = _check_latency(model, clock)
    except ModelError as exc:
        return Verdict(passed=False, reason=exc.reason)
    return Verdict(passed=True, reason="", latency_ms_p99=latency_ms)


def limit_this_process() -> None:
    """Bound this process's memory and processor time, before a model from outside is loaded."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, _CPU_LIMIT_S))
    if sys.platform == "linux":  # macOS refuses a limit on address space
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))


async def check_in_subprocess(folder: Path, *, limit_s: float = _WALL_LIMIT_S) -> Verdict:
    """Check a model in a process of its own; a crash is a verdict too.

    Raises: TimeoutError when this machine was too busy to finish the check, OSError when it cannot start a process.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge",
        "check-model",
        str(folder),
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        raise TimeoutError(f"check took longer than {limit_s:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(output, type=Verdict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Verdict(passed=False, reason=f"check process ended with status {process.returncode}")


def check_golden(model: "LoadedModel") -> None:
    """Run the card's golden vectors.

    Raises: ModelIncompatible when an output is missing, not finite, of another shape, or differs.
    """
    card = model.card
    if not card.golden:
        raise ModelIncompatible("card has no golden vectors")
    for vector in card.golden:
        if set(vector.outputs) != set(card.outputs):
            raise ModelIncompatible(f"golden vector has outputs {sorted(vector.outputs)}, the card {card.outputs}")
        outputs = model.run({name: tensor.array() for name, tensor in vector.inputs.items()})
        for name, expected in vector.outputs.items():
            actual, wanted = outputs[name], expected.array()
            if not np.isfinite(wanted).all():
                raise ModelIncompatible(f"golden vector of output {name} holds a value that is not a finite number")
            if not np.isfinite(actual).all():
                raise ModelIncompatible(f"output {name} is not a finite number on a golden vector")
            if actual.shape != wanted.shape:
                raise ModelIncompatible(f"output {name} has shape {actual.shape}, golden {wanted.shape}")
            worst = float(np.abs(actual - wanted).max(initial=0.0))
            if not worst <= card.golden_tolerance:
                raise ModelIncompatible(f"output {name} differs from its golden vector by {worst:.3g}")


def _check_latency(model: "LoadedModel", clock: Clock) -> float:
    inputs = {name: tensor.array() for name, tensor in model.card.golden[0].inputs.items()}
    best_ms = float("inf")
    for _ in range(_LATENCY_TRIES):
        times_ms = []
        for _ in range(_LATENCY_RUNS):
            started_ns = clock.mono_ns()
            model.run(inputs)
            times_ms.append((clock.mono_ns() - started_ns) / NS_PER_MS)
        best_ms = min(best_ms, float(np.percentile(times_ms, 99)))
        if best_ms <= model.card.latency_budget_ms:
            return best_ms
    raise ModelTooSlow(f"p99 of {best_ms:.1f} ms is over the budget of {model.card.latency_budget_ms:g} ms")
