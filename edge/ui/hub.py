"""Tells every connected tablet what changed. Slow tablets get the newest state, not a queue of old ones."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from edge.counters import QueueState
from edge.health_messages import Health
from edge.messages import (
    Alert,
    AlertPatch,
    AssignedPatch,
    Dot,
    HealthPatch,
    MapPatch,
    Message,
    TeamNow,
    TeamPatch,
    Tile,
    TilePatch,
)
from shared.clock import Clock

# Tiles of one flush travel together; a coach's eye needs no more than this, a radio message waits no longer than this.
FLUSH_S = 0.02
_ALERTS_KEPT = 256


class Connection(Protocol):
    """A tablet's socket."""

    async def send_text(self, data: str) -> None:
        """Send one message."""


@dataclass(slots=True, eq=False)
class Client:
    """What one tablet has not been sent yet: at most one tile per athlete, one map, one health and some alerts."""

    tiles: dict[str, Tile] = field(default_factory=dict)
    dots: list[Dot] | None = None
    teams: list[TeamNow] | None = None
    health: Health | None = None
    alerts: list[Alert] = field(default_factory=list)
    assigned: dict[str, str | None] = field(default_factory=dict)
    pending: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False


class Hub:
    """All tablets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: set[Client] = set()
        self._written: dict[str, tuple[object, msgspec.Raw]] = {}
        """By kind, or athlete: what was written last as JSON, so that many tablets cost one encoding."""
        self._alerts_dropped = 0

    @property
    def clients(self) -> int:
        """How many tablets are connected."""
        return len(self._clients)

    @property
    def queue(self) -> QueueState:
        """The alerts of the slowest tablet; of all else only the newest waits for a tablet."""
        waiting = max((len(client.alerts) for client in self._clients), default=0)
        return QueueState(queue="tablet alerts", waiting=waiting, capacity=_ALERTS_KEPT, dropped=self._alerts_dropped)

    def tiles(self, tiles: Iterable[Tile]) -> None:
        """Tiles changed."""
        changed = {tile.athlete: tile for tile in tiles}
        for client in self._clients:
            client.tiles.update(changed)
            client.pending.set()

    def dots(self, dots: list[Dot]) -> None:
        """The map changed."""
        for client in self._clients:
            client.dots = dots
            client.pending.set()

    def teams(self, teams: list[TeamNow]) -> None:
        """Both teams' metrics changed."""
        for client in self._clients:
            client.teams = teams
            client.pending.set()

    def health(self, health: Health) -> None:
        """The health page changed."""
        for client in self._clients:
            client.health = health
            client.pending.set()

    def alert(self, alert: Alert) -> None:
        """An alert began, ended or was seen."""
        for client in self._clients:
            client.alerts.append(alert)
            self._alerts_dropped += max(0, len(client.alerts) - _ALERTS_KEPT)
            del client.alerts[:-_ALERTS_KEPT]
            client.pending.set()

    def assigned(self, sensor: str, athlete: str | None) -> None:
        """A sensor changed its wearer."""
        for client in self._clients:
            client.assigned[sensor] = athlete
            client.pending.set()

    def end(self) -> None:
        """Let every tablet go: what it shows is no longer true, and it connects again for a new first message."""
        for client in self._clients:
            client.ended = True
            client.pending.set()

    async def serve(self, connection: Connection, first: Message) -> None:
        """Send `first`, then whatever changes, until `end`, cancelled or the connection breaks."""
        client = Client()
        self._clients.add(client)
        try:
            await connection.send_text(_text(first))
            while True:
                await client.pending.wait()
                client.pending.clear()
                if client.ended:
                    return
                for message in self._take(client):
                    await connection.send_text(_text(message))
                await asyncio.sleep(FLUSH_S)
        finally:
            self._clients.discard(client)

    def _take(self, client: Client) -> list[Message]:
        sent_ns = self._clock.utc_ns()
        messages: list[Message] = []
        if client.tiles:
            tiles = [self._once(athlete, tile) for athlete, tile in client.tiles.items()]
            messages.append(TilePatch(sent_ns=sent_ns, tiles=tiles))
            client.tiles = {}
        messages += [AlertPatch(sent_ns=sent_ns, alert=alert) for alert in client.alerts]
        client.alerts = []
        messages += [AssignedPatch(sent_ns=sent_ns, sensor=s, athlete=a) for s, a in client.assigned.items()]
        client.assigned = {}
        if client.dots is not None:
            messages.append(MapPatch(sent_ns=sent_ns, dots=self._once(":dots", client.dots)))
            client.dots = None
        if client.teams is not None:
            messages.append(TeamPatch(sent_ns=sent_ns, teams=self._once(":teams", client.teams)))
            client.teams = None
        if client.health is not None:
            messages.append(HealthPatch(sent_ns=sent_ns, health=self._once(":health", client.health)))
            client.health = None
        return messages

    def _once(self, name: str, content: Any) -> Any:
        """Return the JSON of what is told to many under a name; written anew only when it is another object."""
        known = self._written.get(name)
        if known is None or known[0] is not content:
            known = self._written[name] = (content, msgspec.Raw(msgspec.json.encode(content)))
        return known[1]


def _text(message: Message) -> str:
    return msgspec.json.encode(message).decode("utf-8")
