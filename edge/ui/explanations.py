"""`GET /api/athletes/{athlete}/models/{model}/explanation`: what a model's present answer about them leans on."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from fastapi import FastAPI, Response

from edge.messages import Explanation
from edge.ui.problems import problem
from shared.errors import ConfigError, ModelError
from shared.ids import AthleteId, parse_athlete_id

ExplanationOf = Callable[[AthleteId, str], Awaitable[Explanation]]
"""Raises ConfigError of an athlete or a model that is not here, ModelError where there is nothing to explain."""
_RETRY_AFTER_S = 1
# A browser asks one server at most six things at once: no page alone fills the line.
_IN_LINE = 8


def add_explanations(app: FastAPI, explanation_of: ExplanationOf) -> None:
    """Add the route; 404 of an athlete or a model that is not here, 409 where there is nothing to explain.

    One explanation at a time, in the order of the questions, so that live answers never wait for two; 503 where the
    line is full.
    """
    in_line, explaining = asyncio.Semaphore(_IN_LINE), asyncio.Lock()

    @app.get("/api/athletes/{athlete}/models/{model}/explanation")
    async def explanation(athlete: str, model: str) -> Response:
        if in_line.locked():
            return problem(503, "too many ask for explanations; ask again", {"Retry-After": str(_RETRY_AFTER_S)})
        try:
            async with in_line, explaining:
                found = await explanation_of(parse_athlete_id(athlete), model)
        except ConfigError as exc:
            return problem(404, exc.problem)
        except ModelError as exc:
            return problem(409, exc.reason)
        return Response(msgspec.json.encode(found), media_type="application/json")
