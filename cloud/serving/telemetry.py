"""What the serving counts, for Prometheus; a registry of its own so that two applications can share a process."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.clock import NS_PER_S, Clock

PREDICT = "/predict"
_FAILED, _GONE = 500, 499
"""Where nothing was answered: an error of ours, or the client went away first (nginx's number for it)."""


class Telemetry:
    """Counters of one serving application; labels are models that exist, versions that answered, and HTTP statuses."""

    def __init__(self, loaded: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sideline_serving_requests",
            "Requests for predictions; model and version are empty where a request was refused before they were known",
            ["model", "version", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sideline_serving_seconds",
            "From a request's last byte to the end of its answer, of requests that a model was found for",
            ["model"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "sideline_serving_in_flight", "Requests for predictions open now", registry=self.registry
        )
        models = Gauge("sideline_serving_models_loaded", "Model versions held in memory", registry=self.registry)
        models.set_function(loaded)

    def answered(self, model: str, version: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(model=model, version=version, status=str(status)).inc()
        if model:
            self._seconds.labels(model=model).observe(seconds)


class Counted:
    """Counts every request for predictions, also those that are refused on the way in.

    The route names what it found in `request.state`: `model` and `version`.
    """

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry, clock: Clock) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count how it ended."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PREDICT:
            await self._app(scope, receive, send)
            return
        found = scope.setdefault("state", {})
        status, whole_ns = _FAILED, self._clock.mono_ns()
        answered = False

        async def receive_timed() -> Message:
            nonlocal status, whole_ns
            message = await receive()
            whole_ns = self._clock.mono_ns()
            if message["type"] == "http.disconnect" and not answered:
                status = _GONE
            return message

        async def send_watched(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = True, message["status"]
            await send(message)

        with self._telemetry.in_flight.track_inprogress():
            try:
                await self._app(scope, receive_timed, send_watched)
            finally:
                seconds = (self._clock.mono_ns() - whole_ns) / NS_PER_S
                self._telemetry.answered(found.get("model", ""), found.get("version", ""), status, seconds)
