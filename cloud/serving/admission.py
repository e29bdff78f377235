"""What bounds the serving: requests at once, and the time that a body may take."""

import asyncio

import msgspec
from fastapi import HTTPException, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Admission:
    """Lets in so many POST requests at once and tells the others when to come back; takes no body too long or large."""

    def __init__(self, app: ASGIApp, *, most: int, body_bytes: int, body_s: float, retry_after_s: int) -> None:
        self._app = app
        self._most = most
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._retry_after_s = retry_after_s
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 503."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif int(Headers(scope=scope).get("content-length", "0")) > self._body_bytes:
            await problem(413, self._too_large())(scope, receive, send)
        elif self._open >= self._most:
            busy = problem(503, "too many requests at once", {"Retry-After": str(self._retry_after_s)})
            await busy(scope, receive, send)
        else:
            self._open += 1
            try:
                await self._app(scope, self._bounded(receive), send)
            finally:
                self._open -= 1

    def _bounded(self, receive: Receive) -> Receive:
        """Return a `receive` that ends the request when its body is too late or too large."""
        deadline = asyncio.get_running_loop().time() + self._body_s
        left = self._body_bytes
        complete = False

        async def receive_bounded() -> Message:
            nonlocal complete, left
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as exc:
                raise HTTPException(408, "the body did not arrive in time") from exc
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, self._too_large())
            complete = not message.get("more_body", False)
            return message

        return receive_bounded

    def _too_large(self) -> str:
        return f"a body is at most {self._body_bytes} bytes; send fewer inputs at once"


def problem(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that says in one sentence what was wrong."""
    body = msgspec.json.encode({"problem": text})
    return Response(body, status, headers=headers, media_type="application/json")
