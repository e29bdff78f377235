"""How the gateway says that it does not do what was asked."""

from collections.abc import Mapping

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says in one sentence what was wrong."""
    body = msgspec.json.encode({"problem": text})
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def add_problems(app: FastAPI) -> None:
    """Answer likewise where the framework refuses: no such page, no such method."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, exc: HTTPException) -> Response:
        return problem(exc.status_code, str(exc.detail), exc.headers)
