"""The gateway's HTTP client for the cloud. The one file of the gateway that knows httpx.

HTTP/1.1 with keep-alive: HTTP/2 was 7 to 10 times slower for bodies of this size.
"""

import asyncio
import base64
import importlib
import math
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from socket import SO_SNDBUF, SOL_SOCKET
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.request import getproxies

import msgspec

from edge.store.outbox import Pending
from shared.batch import CONTENT, CONTENT_DIGEST, COUNT, LANE, SCHEMA, EpochState, Receipt, Reconcile, Reconciled
from shared.clock import NS_PER_S
from shared.errors import BatchRefused, BatchTooLarge, LinkDown, ServerBusy

if TYPE_CHECKING:
    import httpx

# A body goes out in pieces, each with its own time limit, and little of it waits unseen in the system: 256 KiB (Linux
# doubles the number) need 8 s at 256 kbit/s, and allow 3.4 Mbit/s at a round trip of 600 ms.
_PIECE_BYTES = 16 * 1024
_SEND_BUFFER_BYTES = 128 * 1024
# The cloud may have to read an hour of objects before it answers.
_COMPARE_TIMEOUT_S = 120.0
_STATUS_WITH_RECEIPT = (200, 201, 409, 422)
_OK, _TOO_LARGE = 200, 413
_TOKEN_REFUSED = (401, 403)
# However long a server asks to stay away: a wrong answer must not silence the gateway for a day.
_LONGEST_WAIT_S = 600.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)
# httpx's errors that often come without a word.
_WORDLESS = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time",
    "WriteTimeout": "nothing could be sent for too long",
    "ReadError": "the connection broke off before the answer",
    "WriteError": "the connection broke off while sending",
}


class CloudClient:
    """Uploads batches of one gateway."""

    def __init__(self, url: str, gateway: str, token: str, *, timeout_s: float) -> None:
        self._gateway = gateway
        self.server_ns: int | None = None
        """The cloud's clock in its latest answer, to the second; None where it sent none."""
        self._url = url
        self._token = token
        self._timeout_s = timeout_s
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        # On a thread: it takes a tenth of a second, in which sensors are heard.
        http = await asyncio.to_thread(importlib.import_module, "httpx")
        headers = {"authorization": f"Bearer {self._token}"}
        # Behind a proxy of the site the library chooses its own way.
        small = [(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER_BYTES)]
        transport = None if getproxies() else http.AsyncHTTPTransport(http2=False, socket_options=small)
        self._http = http.AsyncClient(base_url=self._url, headers=headers, timeout=self._timeout_s, transport=transport)
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, exc, trace)

    async def put(self, batch: Pending) -> Receipt:
        """Send a batch's exact bytes and return the cloud's receipt; it may take long, but not stand still for long.

        Raises: LinkDown, ServerBusy, BatchTooLarge; BatchRefused for any other answer that is no receipt.
        """
        header = batch.header
        kind = "application/json" if header.content == "summary" else "application/vnd.apache.parquet"
        sha256 = base64.b64encode(bytes.fromhex(header.sha256)).decode("ascii")
        body = _Pieces(batch.body)
        response = await self._send(
            self._http.build_request(
                "PUT",
                f"/v1/gateways/{self._gateway}/batches/{header.epoch}/{header.seq}",
                content=body,
                headers={
                    "content-length": str(len(batch.body)),
                    "content-type": kind,
                    CONTENT_DIGEST: f"sha-256=:{sha256}:",
                    LANE: header.lane.value,
                    CONTENT: header.content,
                    SCHEMA: str(header.schema),
                    COUNT: str(header.count),
                },
            ),
            body,
        )
        return _receipt(response)

    async def state(self, epoch: str) -> EpochState:
        """Return what the cloud holds of an epoch.

        Raises: as `put`.
        """
        request = self._http.build_request("GET", f"/v1/gateways/{self._gateway}/epochs/{epoch}")
        response = await self._send(request)
        if response.status_code != _OK:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.content, type=EpochState)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BatchRefused(response.status_code, "answer is no epoch state") from exc

    async def reconcile(self, asked: Reconcile) -> Reconciled:
        """Ask which of some stream-hours the cloud does not hold as they stand here.

        Raises: as `put`.
        """
        request = self._http.build_request(
            "POST",
            f"/v1/gateways/{self._gateway}/reconcile",
            content=msgspec.json.encode(asked),
            headers={"content-type": "application/json"},
            timeout=max(self._timeout_s, _COMPARE_TIMEOUT_S),
        )
        response = await self._send(request)
        if response.status_code != _OK:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.content, type=Reconciled)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BatchRefused(response.status_code, "answer is no reconciliation") from exc

    async def _send(self, request: "httpx.Request", body: "_Pieces | None" = None) -> "httpx.Response":
        import httpx  # noqa: PLC0415  loaded as this client was entered

        try:
            response = await self._http.send(request)
        except httpx.HTTPError as exc:
            said = str(exc) or _WORDLESS.get(type(exc).__name__, type(exc).__name__)
            raise LinkDown(said, under_way=body is not None and body.begun) from exc
        self.server_ns = _date_ns(response)
        if response.status_code in _BUSY:
            raise ServerBusy(response.status_code, _retry_after_s(response))
        return response


class _Pieces:
    """A body that goes out in pieces, and whether a piece went out."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        view = memoryview(self._body)
        for start in range(0, len(view), _PIECE_BYTES):
            yield bytes(view[start : start + _PIECE_BYTES])
            self.begun = True


def _refused(response: "httpx.Response") -> BatchRefused:
    status = response.status_code
    return BatchRefused(status, "the token is not accepted" if status in _TOKEN_REFUSED else response.reason_phrase)


def _receipt(response: "httpx.Response") -> Receipt:
    if response.status_code == _TOO_LARGE:
        raise BatchTooLarge(response.reason_phrase)
    if response.status_code not in _STATUS_WITH_RECEIPT:
        raise _refused(response)
    try:
        return msgspec.json.decode(response.content, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BatchRefused(response.status_code, "answer is no receipt") from exc


def _date_ns(response: "httpx.Response") -> int | None:
    """Return the time of an answer (RFC 9110 §6.6.1), or None."""
    try:
        return round(parsedate_to_datetime(response.headers["date"]).timestamp()) * NS_PER_S
    except (KeyError, ValueError):
        return None


def _retry_after_s(response: "httpx.Response") -> float | None:
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):  # absent, or a date
        return None
    return min(_LONGEST_WAIT_S, max(0.0, seconds)) if math.isfinite(seconds) else _LONGEST_WAIT_S
