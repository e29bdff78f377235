"""Runs models off the event loop, one thread for all; a slot's model is swapped between two runs, never during one."""

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.counters import INFERENCE_BOUNDS_S, Timing
from shared.clock import NS_PER_MS, NS_PER_S, Clock
from shared.errors import ModelError
from shared.model_card import ModelCard

if TYPE_CHECKING:  # the runtime is loaded with the first model, not with the gateway
    from edge.inference.explain import Explained
    from edge.inference.session import Arrays, LoadedModel

_KEPT = 512


@dataclass(slots=True)
class RunStats:
    """What one loaded model did so far."""

    runs: int = 0
    failures: int = 0
    problem: str | None = None
    latency_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    disagreement: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def median_ms(self) -> float | None:
        """Return the median of the last runs."""
        return float(np.median(self.latency_ms)) if self.latency_ms else None

    def p99_ms(self) -> float | None:
        """Return the 99th percentile of the last runs."""
        return float(np.percentile(self.latency_ms, 99)) if self.latency_ms else None


@dataclass(slots=True)
class _Running:
    model: "LoadedModel"
    stats: RunStats = field(default_factory=RunStats)


@dataclass(slots=True)
class _Slot:
    active: _Running | None = None
    shadow: _Running | None = None
    requested: int = 0
    answered: int = 0
    failed: int = 0
    took: Timing = field(default_factory=lambda: Timing(INFERENCE_BOUNDS_S))


class Runner:
    """Model slots by name: an active model answers, a shadow model runs beside it on the same inputs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")

    def activate(self, model: "LoadedModel") -> None:
        """Make `model` answer from the next request on; a shadow of the same version ends."""
        slot = self._slots.setdefault(model.card.name, _Slot())
        slot.active = _Running(model)
        if slot.shadow is not None and slot.shadow.model.card.version == model.card.version:
            slot.shadow = None

    def shadow(self, model: "LoadedModel") -> RunStats:
        """Run `model` beside the active one from the next request on; return what it does, as it goes."""
        running = self._slots.setdefault(model.card.name, _Slot()).shadow = _Running(model)
        return running.stats

    def end_shadow(self, name: str) -> None:
        """Stop the shadow."""
        self._slots.setdefault(name, _Slot()).shadow = None

    def deactivate(self, name: str) -> None:
        """Leave the slot empty."""
        self._slots.setdefault(name, _Slot()).active = None

    def card(self, name: str) -> ModelCard | None:
        """Return the active model's card."""
        slot = self._slots.get(name)
        return slot.active.model.card if slot and slot.active else None

    def stats(self, name: str) -> RunStats | None:
        """Return the active model's figures."""
        slot = self._slots.get(name)
        return slot.active.stats if slot and slot.active else None

    def counts(self, name: str) -> tuple[int, int]:
        """Return how many inferences were requested and answered, over all versions."""
        slot = self._slots.get(name)
        return (slot.requested, slot.answered) if slot else (0, 0)

    def timings(self) -> dict[str, Timing]:
        """Return how long each slot's active models took, over all versions."""
        return {name: slot.took for name, slot in self._slots.items()}

    def failures(self) -> dict[str, int]:
        """Return how often each slot's active models failed, over all versions."""
        return {name: slot.failed for name, slot in self._slots.items()}

    async def infer(self, name: str, inputs: Mapping[str, NDArray[np.float32]]) -> "Arrays | None":
        """Return the active model's outputs, or None if there is none or its outputs are not finite."""
        slot = self._slots.setdefault(name, _Slot())
        active, shadow = slot.active, slot.shadow
        if active is None and shadow is None:
            return None
        loop = asyncio.get_running_loop()
        outputs = None
        if active is not None:
            slot.requested += 1
            outputs = await loop.run_in_executor(self._thread, self._run, active, inputs)
            slot.answered += outputs is not None
            if outputs is None:
                slot.failed += 1
            else:
                slot.took.add(active.stats.latency_ms[-1] * NS_PER_MS / NS_PER_S)
        if shadow is not None:
            tried = await loop.run_in_executor(self._thread, self._run, shadow, inputs)
            if tried is not None and outputs is not None:
                shadow.stats.disagreement.append(_disagreement(outputs, tried))
        return outputs

    async def explain(self, name: str, row: NDArray[np.float32]) -> "Explained | None":
        """Return what the active model's answer to one row float32[F] leans on, or None if there is no active model.

        It counts neither as a run nor, when it fails, as a failure: nobody acts on it.
        Raises: ModelIncompatible as `edge.inference.explain.explain`.
        """
        slot = self._slots.get(name)
        if slot is None or slot.active is None:
            return None
        from edge.inference.explain import explain  # noqa: PLC0415  the runtime came with the model

        return await asyncio.get_running_loop().run_in_executor(self._thread, explain, slot.active.model, row)

    def close(self) -> None:
        """Finish the run under way."""
        self._thread.shutdown(wait=True)

    def _run(self, running: _Running, inputs: Mapping[str, NDArray[np.float32]]) -> "Arrays | None":
        started_ns = self._clock.mono_ns()
        stats = running.stats
        try:
            outputs = running.model.run(inputs)
        except ModelError as exc:
            stats.failures += 1
            stats.problem = exc.reason
            return None
        stats.runs += 1
        stats.latency_ms.append((self._clock.mono_ns() - started_ns) / NS_PER_MS)
        if not all(np.isfinite(output).all() for output in outputs.values()):
            stats.failures += 1
            stats.problem = "output is not a finite number on live data"
            return None
        return outputs


def _disagreement(first: "Arrays", second: "Arrays") -> float:
    return max((float(np.abs(first[n] - second[n]).mean()) for n in first if n in second), default=0.0)
