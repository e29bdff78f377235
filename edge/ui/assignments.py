"""`POST /api/assignments`: a sensor changes its wearer, also while a session runs."""

from collections.abc import Awaitable, Callable

import msgspec
from fastapi import FastAPI, Request, Response

from edge.messages import Assign
from edge.ui.auth import same_origin
from edge.ui.problems import problem
from shared.errors import ConfigError, StoreError
from shared.ids import AthleteId, SensorId, parse_athlete_id, parse_sensor_id

_MAX_BODY_BYTES = 4096

OnAssign = Callable[[SensorId, AthleteId | None], Awaitable[bool]]
"""Takes an assignment from now on; False says that nobody on the roster is so called. Raises StoreError when it holds,
but only until the gateway starts again."""


def add_assignments(app: FastAPI, on_assign: OnAssign) -> None:
    """Add the route to the application."""

    @app.post("/api/assignments")
    async def assign(request: Request) -> Response:
        if not same_origin(request):
            return problem(403, "not from this gateway's page")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MAX_BODY_BYTES:
                return problem(413, "too long")
        try:
            wanted = msgspec.json.decode(body, type=Assign)
            sensor = parse_sensor_id(wanted.sensor)
            athlete = None if wanted.athlete is None else parse_athlete_id(wanted.athlete)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ConfigError) as exc:
            return problem(400, str(exc))
        try:
            if not await on_assign(sensor, athlete):
                return problem(404, f"no athlete {athlete} on the roster")
        except StoreError as exc:
            return problem(507, f"holds until the gateway starts again: {exc}")
        return Response(status_code=204)
