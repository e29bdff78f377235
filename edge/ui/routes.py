"""The gateway's own web server: the tablet app, its WebSocket, health as JSON and as Prometheus metrics."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from edge.counters import Measures
from edge.health_messages import Health
from edge.messages import Seen, Snapshot
from edge.ui.assignments import OnAssign, add_assignments
from edge.ui.athlete_metrics import MetricsOf, add_athlete_metrics
from edge.ui.auth import same_origin
from edge.ui.explanations import ExplanationOf, add_explanations
from edge.ui.hub import Hub
from edge.ui.problems import add_problems

TABLET = Path(__file__).parent.parent / "tablet" / "dist"
_NOT_BUILT = """<!doctype html><title>Sideline</title><p>The gateway runs, but the tablet app is not built yet.
Run <code>make tablet</code> and start the gateway again.
The gateway's state is at <a href="/api/health">/api/health</a>.</p>"""
_MAX_MESSAGE_BYTES = 4096
_POLICY_VIOLATION = 1008
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def create_app(
    hub: Hub,
    *,
    snapshot: Callable[[], Awaitable[Snapshot]],
    health: Callable[[], Awaitable[Health]],
    on_seen: Callable[[str], None],
    on_assign: OnAssign,
    metrics_of: MetricsOf,
    explanation_of: ExplanationOf,
    measures: Callable[[], Measures] = Measures,
    local_only: bool = False,
    tablet: Path = TABLET,
) -> FastAPI:
    """Return the web application; the callables give what it shows, `local_only` that it listens on loopback alone."""
    app = FastAPI(title="Sideline gateway", docs_url=None, redoc_url=None)
    if local_only:
        # A page of somebody else's, open in the same machine's browser, must not read athletes' data: neither by its
        # own name made to point here, nor across origins (checked below).
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    @app.websocket("/ws/live")
    async def live(socket: WebSocket) -> None:
        if not same_origin(socket):
            await socket.close(code=_POLICY_VIOLATION)
            return
        await socket.accept()
        sender = asyncio.create_task(hub.serve(socket, await snapshot()), name="tablet sender")
        listener = asyncio.create_task(_listen(socket, on_seen), name="tablet listener")
        # The hub ends its side when a tablet must begin anew, with a new snapshot.
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sender, listener):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await task
        with contextlib.suppress(
            RuntimeError, WebSocketDisconnect
        ):  # closed by the tablet, or it is gone without a word
            await socket.close()

    @app.get("/api/health")
    async def health_json() -> Response:
        return Response(msgspec.json.encode(await health()), media_type="application/json")

    @app.get("/healthz")
    async def alive() -> Response:
        return Response(b"ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        from edge.ui.prometheus import prometheus_text  # noqa: PLC0415  loaded when somebody asks, not at the start

        text = prometheus_text(await health(), measures(), tablets=hub.clients)
        return Response(text, media_type="text/plain; version=0.0.4")

    add_assignments(app, on_assign)
    add_athlete_metrics(app, metrics_of)
    add_explanations(app, explanation_of)
    add_problems(app)
    if (tablet / "index.html").is_file():
        app.mount("/", StaticFiles(directory=tablet, html=True), name="tablet")
    else:

        @app.get("/")
        async def not_built() -> HTMLResponse:
            return HTMLResponse(_NOT_BUILT)

    return app


async def _listen(socket: WebSocket, on_seen: Callable[[str], None]) -> None:
    """Take a tablet's messages until it leaves."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            _on_message(await socket.receive_text(), on_seen)


def _on_message(text: str, on_seen: Callable[[str], None]) -> None:
    """Take a tablet's message; what is none of ours is passed over."""
    if len(text) > _MAX_MESSAGE_BYTES:
        return
    with contextlib.suppress(msgspec.DecodeError):
        on_seen(msgspec.json.decode(text, type=Seen).alert)
