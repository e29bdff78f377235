"""The gateway's HTTP client for the cloud. The one file of the gateway that knows httpx.

HTTP/1.1 with keep-alive: HTTP/2 was 7 to 10 times slower for bodies of this size.
"""

import base64
import math
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx
import msgspec

from edge.store.outbox import Pending
from shared.batch import CONTENT, CONTENT_DIGEST, COUNT, LANE, SCHEMA, EpochState, Receipt
from shared.clock import NS_PER_S
from shared.errors import BatchRefused, BatchTooLarge, LinkDown, ServerBusy

_STATUS_WITH_RECEIPT = (200, 201, 409, 422)
_TOO_LARGE = 413
# However long a server asks to stay away: a wrong answer must not silence the gateway for a day.
_LONGEST_WAIT_S = 600.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class CloudClient:
    """Uploads batches of one gateway."""

    def __init__(self, url: str, gateway: str, token: str, *, timeout_s: float) -> None:
        self._gateway = gateway
        self.server_ns: int | None = None
        """The cloud's clock in its latest answer, to the second; None where it sent none."""
        self._http = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=timeout_s, http2=False
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, exc, trace)

    async def put(self, batch: Pending) -> Receipt:
        """Send a batch's exact bytes and return the cloud's receipt.

        Raises: LinkDown, ServerBusy, BatchTooLarge; BatchRefused for any other answer that is no receipt.
        """
        header = batch.header
        kind = "application/json" if header.content == "summary" else "application/vnd.apache.parquet"
        sha256 = base64.b64encode(bytes.fromhex(header.sha256)).decode("ascii")
        response = await self._send(
            self._http.build_request(
                "PUT",
                f"/v1/gateways/{self._gateway}/batches/{header.epoch}/{header.seq}",
                content=batch.body,
                headers={
                    "content-type": kind,
                    CONTENT_DIGEST: f"sha-256=:{sha256}:",
                    LANE: header.lane.value,
                    CONTENT: header.content,
                    SCHEMA: str(header.schema),
                    COUNT: str(header.count),
                },
            )
        )
        return _receipt(response)

    async def state(self, epoch: str) -> EpochState:
        """Return what the cloud holds of an epoch.

        Raises: as `put`.
        """
        request = self._http.build_request("GET", f"/v1/gateways/{self._gateway}/epochs/{epoch}")
        response = await self._send(request)
        try:
            return msgspec.json.decode(response.content, type=EpochState)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BatchRefused(response.status_code, "answer is no epoch state") from exc

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._http.send(request)
        except httpx.HTTPError as exc:
            raise LinkDown(str(exc) or type(exc).__name__) from exc
        self.server_ns = _date_ns(response)
        if response.status_code in _BUSY:
            raise ServerBusy(response.status_code, _retry_after_s(response))
        return response


def _receipt(response: httpx.Response) -> Receipt:
    if response.status_code == _TOO_LARGE:
        raise BatchTooLarge(response.reason_phrase)
    if response.status_code not in _STATUS_WITH_RECEIPT:
        raise BatchRefused(response.status_code, response.reason_phrase)
    try:
        return msgspec.json.decode(response.content, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BatchRefused(response.status_code, "answer is no receipt") from exc


def _date_ns(response: httpx.Response) -> int | None:
    """Return the time of an answer (RFC 9110 §6.6.1), or None."""
    try:
        return round(parsedate_to_datetime(response.headers["date"]).timestamp()) * NS_PER_S
    except (KeyError, ValueError):
        return None


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):  # absent, or a date
        return None
    return min(_LONGEST_WAIT_S, max(0.0, seconds)) if math.isfinite(seconds) else _LONGEST_WAIT_S
