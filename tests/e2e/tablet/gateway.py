"""A small gateway for the browser tests: serves the built page and plays what a test scripts over `/ws/live`."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.staticfiles import StaticFiles

from edge.messages import Assign, AssignedPatch, MapPatch, Message, Seen, TeamPatch, TilePatch
from tests.e2e.tablet.scripted import Squad, now_ns
from tests.e2e.tablet.scripted_metrics import of_athlete, of_teams
from tests.e2e.tablet.scripted_models import of_model

START_S = 10.0
OK = 200
GONE = 1012  # WebSocket close code "service restart"


class ScriptedGateway:
    """Sends the squad's snapshot to every tablet, then whatever the test sends; keeps what tablets say."""

    def __init__(self, squad: Squad) -> None:
        self.squad = squad
        self.url = ""
        self.seen: list[str] = []
        self.refusing = False
        self.said = asyncio.Event()
        self.metrics_of = of_athlete
        self.assigned: list[Assign] = []
        self.asked: list[str] = []
        """Athletes whose metrics were asked for, one entry a question."""
        self.answer_status = 200
        """What questions for metrics and assignments are answered with; 200 is as it should be."""
        self.explained: list[tuple[str, str]] = []
        """Athletes and models that were asked for an explanation, one entry a question."""
        self.refusal: str | None = None
        """Why there is nothing to explain; None where there is."""
        self._tablets: set[WebSocket] = set()

    async def send(self, message: Message) -> None:
        """Send one message to every tablet that is connected."""
        text = msgspec.json.encode(message).decode()
        for tablet in tuple(self._tablets):
            await tablet.send_text(text)

    async def drop(self) -> None:
        """Close every connection and refuse new ones: the tablet has lost the gateway."""
        self.refusing = True
        for tablet in tuple(self._tablets):
            await tablet.close(GONE)

    async def play(self) -> None:
        """Tiles once a second and positions ten times a second, until cancelled."""
        for step in itertools.count():
            if step % 10 == 0:
                tiles = [msgspec.structs.replace(tile, trace_bpm=None) for tile in self.squad.told()]
                await self.send(TilePatch(sent_ns=now_ns(), tiles=tiles))
                await self.send(TeamPatch(sent_ns=now_ns(), teams=of_teams()))
            await self.send(MapPatch(sent_ns=now_ns(), dots=self.squad.dots(now_ns())))
            await asyncio.sleep(0.1)

    async def metrics(self, athlete: str) -> Response:
        """Every metric of one athlete."""
        self.asked.append(athlete)
        if self.answer_status != OK:
            return Response(status_code=self.answer_status)
        return Response(msgspec.json.encode(self.metrics_of(athlete, now_ns())), media_type="application/json")

    async def explanation(self, athlete: str, model: str) -> Response:
        """What one model leans on about one athlete."""
        self.explained.append((athlete, model))
        if self.refusal is not None:
            return Response(msgspec.json.encode({"problem": self.refusal}), 409, media_type="application/json")
        return Response(msgspec.json.encode(of_model(athlete, model, now_ns())), media_type="application/json")

    async def assign(self, request: Request) -> Response:
        """Give a sensor to an athlete and tell every tablet, as the gateway does."""
        change = msgspec.json.decode(await request.body(), type=Assign)
        if self.answer_status != OK:
            return Response(status_code=self.answer_status)
        self.assigned.append(change)
        await self.send(AssignedPatch(sent_ns=now_ns(), sensor=change.sensor, athlete=change.athlete))
        return Response(status_code=204)

    async def live(self, tablet: WebSocket) -> None:
        """One connection: the snapshot, then listen until it ends."""
        if self.refusing:
            await tablet.close(GONE)
            return
        await tablet.accept()
        await tablet.send_text(msgspec.json.encode(self.squad.snapshot()).decode())
        self._tablets.add(tablet)
        try:
            while True:
                self.seen.append(msgspec.json.decode(await tablet.receive_text(), type=Seen).alert)
                self.said.set()
        except WebSocketDisconnect:
            self._tablets.discard(tablet)


@contextlib.asynccontextmanager
async def serving(squad: Squad, dist: Path) -> AsyncIterator[ScriptedGateway]:
    """A running gateway on a free port of this machine."""
    gateway = ScriptedGateway(squad)
    app = FastAPI()
    app.add_api_websocket_route("/ws/live", gateway.live)
    app.add_api_route("/api/athletes/{athlete}/metrics", gateway.metrics)
    app.add_api_route("/api/athletes/{athlete}/models/{model}/explanation", gateway.explanation)
    app.add_api_route("/api/assignments", gateway.assign, methods=["POST"])
    app.mount("/", StaticFiles(directory=dist, html=True))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve(), name="scripted gateway")
        async with asyncio.timeout(START_S):
            # uvicorn tells nobody when it is up: no event to await.
            while not server.started:
                await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        gateway.url = f"http://{host}:{port}/"
        try:
            yield gateway
        finally:
            await gateway.drop()
            server.should_exit = True
            await task
