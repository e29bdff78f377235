"""How the gateway says that it does not do what was asked."""

from collections.abc import Mapping

import msgspec
from fastapi import Response


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says in one sentence what was wrong."""
    body = msgspec.json.encode({"problem": text})
    return Response(body, status_code=status, headers=headers, media_type="application/json")
