"""`GET /api/athletes/{athlete}/metrics`: every metric of one athlete's session, with coverage, quality and notes."""

from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Response

from edge.messages import AthleteMetrics
from edge.ui.problems import problem
from shared.errors import ConfigError
from shared.ids import AthleteId, parse_athlete_id

MetricsOf = Callable[[AthleteId], AthleteMetrics | None]


def add_athlete_metrics(app: FastAPI, metrics_of: MetricsOf) -> None:
    """Add the route; 404 of an athlete whom the roster does not name."""

    @app.get("/api/athletes/{athlete}/metrics")
    async def athlete_metrics(athlete: str) -> Response:
        try:
            metrics = metrics_of(parse_athlete_id(athlete))
        except ConfigError:
            metrics = None
        if metrics is None:
            return problem(404, "no such athlete")
        return Response(msgspec.json.encode(metrics), media_type="application/json")
