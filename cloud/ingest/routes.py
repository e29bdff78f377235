"""The HTTP face of the ingest: batches in, receipts out, the state of an epoch, what was received, what is held."""

import asyncio
from dataclasses import dataclass

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from cloud.ingest.content import SUMMARY
from cloud.ingest.decide import HTTP_STATUS, Verdict
from cloud.ingest.headers import parse_header, parse_number
from cloud.ingest.identity import Caller, identify
from cloud.ingest.intake import Intake
from cloud.ingest.limits import InFlight, read_body
from cloud.ingest.reconcile import Reconciliation
from cloud.ingest.telemetry import Telemetry
from cloud.settings import CloudSettings, Layout
from shared.batch import MAX_RANGES, MAX_RECONCILED, BatchHeader, Receipt, Reconcile
from shared.clock import NS_PER_S, Clock
from shared.errors import BatchRefused, ConfigError, DecodeError, ServerBusy, StoreError
from shared.ids import parse_epoch
from shared.log import FailureLog, get_logger
from shared.quantities import STREAMS

_RECEIPTS_PER_PAGE = 1000
# Reading hours of objects takes a core and tens of megabytes; batches go first.
_COMPARED_AT_ONCE = 2
_MAX_RECONCILE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the routes need."""

    layout: Layout
    settings: CloudSettings
    clock: Clock
    intake: Intake
    in_flight: InFlight
    comparing: InFlight
    reconciliation: Reconciliation
    telemetry: Telemetry
    store_failures: FailureLog


def make_service(layout: Layout, settings: CloudSettings, clock: Clock, intake: Intake) -> Service:
    """Build the parts that live as long as the application."""
    telemetry = Telemetry()
    in_flight = InFlight(
        total=settings.max_in_flight,
        per_gateway=settings.max_in_flight_per_gateway,
        retry_after_s=settings.retry_after_s,
    )
    telemetry.in_flight.set_function(lambda: float(in_flight.count))
    return Service(
        layout=layout,
        settings=settings,
        clock=clock,
        intake=intake,
        in_flight=in_flight,
        comparing=InFlight(total=_COMPARED_AT_ONCE, per_gateway=1, retry_after_s=settings.retry_after_s),
        reconciliation=Reconciliation(
            ledger=intake.ledger,
            objects=intake.objects,
            clock=clock,
            budget_s=settings.reconcile_s,
            on_lost=telemetry.lost,
        ),
        telemetry=telemetry,
        store_failures=FailureLog(get_logger("ingest"), "batch not stored"),
    )


def gateway_routes(service: Service) -> APIRouter:
    """Return the routes under /v1/gateways; each needs the gateway's token."""
    router = APIRouter(prefix="/v1/gateways/{gateway}")

    @router.put("/batches/{epoch}/{seq}")
    async def put_batch(request: Request, gateway: str, epoch: str, seq: str) -> Response:
        refused = await _refuse_stranger(service, request, gateway)
        response = refused or await _take(service, request, gateway, epoch, seq)
        service.telemetry.answered(response.status_code)
        return response

    @router.get("/epochs/{epoch}")
    async def get_epoch(request: Request, gateway: str, epoch: str) -> Response:
        refused = await _refuse_stranger(service, request, gateway)
        if refused:
            return refused
        try:
            name = parse_epoch(epoch)
        except ConfigError as exc:
            return _problem(422, str(exc))
        return _json(await asyncio.to_thread(service.intake.ledger.state, gateway, name))

    @router.post("/reconcile")
    async def post_reconcile(request: Request, gateway: str) -> Response:
        return await _refuse_stranger(service, request, gateway) or await _compare(service, request, gateway)

    @router.get("/receipts")
    async def get_receipts(request: Request, gateway: str, after: str = "0") -> Response:
        refused = await _refuse_stranger(service, request, gateway)
        if refused:
            return refused
        try:
            cursor = parse_number("after", after)
        except DecodeError as exc:
            return _problem(422, exc.reason)
        ledger = service.intake.ledger
        rows = await asyncio.to_thread(ledger.received, gateway, after=cursor, limit=_RECEIPTS_PER_PAGE)
        return _json({"receipts": rows, "next": rows[-1].id if rows else cursor})

    return router


async def _refuse_stranger(service: Service, request: Request, gateway: str) -> Response | None:
    caller = await asyncio.to_thread(identify, service.layout, gateway, request.headers.get("authorization"))
    if caller is Caller.NOT_NAMED:
        return _problem(401, "no bearer token", {"WWW-Authenticate": "Bearer"})
    if caller is Caller.NOT_ALLOWED:
        return _problem(403, "not this gateway's token")
    return None


async def _take(service: Service, request: Request, gateway: str, epoch: str, seq: str) -> Response:
    """Answer one PUT of an identified gateway."""
    settings = service.settings
    retry = {"Retry-After": str(settings.retry_after_s)}
    try:
        header = parse_header(gateway, epoch, seq, request.headers)
        with service.in_flight.one(gateway):
            body = await _body(service, request, settings.max_batch_bytes)
            receipt = await asyncio.to_thread(_decide, service, header, body)
    except ServerBusy as exc:
        return _problem(exc.status, "too many batches in flight", retry)
    except TimeoutError:
        return _problem(408, "the body did not arrive in time", retry)
    except (ClientDisconnect, BatchRefused, DecodeError) as exc:
        return _refuse(exc)
    except StoreError as exc:
        service.store_failures.failed(str(exc))
        return _problem(503, "the batch could not be stored", retry)
    service.store_failures.recovered()
    return _json(receipt, HTTP_STATUS[Verdict(receipt.status)])


async def _compare(service: Service, request: Request, gateway: str) -> Response:
    """Answer one reconciliation of an identified gateway."""
    retry = {"Retry-After": str(service.settings.retry_after_s)}
    try:
        with service.comparing.one(gateway):
            body = await _body(service, request, _MAX_RECONCILE_BYTES)
            asked = msgspec.json.decode(body, type=Reconcile)
            if len(asked.tallies) > MAX_RECONCILED or len(asked.batches) > MAX_RANGES:
                return _problem(413, f"at most {MAX_RECONCILED} stream-hours and {MAX_RANGES} ranges")
            answer = await asyncio.to_thread(service.reconciliation.compare, gateway, asked)
    except ServerBusy as exc:
        return _problem(exc.status, "a reconciliation is under way", retry)
    except TimeoutError:
        return _problem(408, "the body did not arrive in time", retry)
    except (ClientDisconnect, BatchRefused) as exc:
        return _refuse(exc)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _problem(422, "not a reconciliation")
    service.telemetry.compared(len(asked.tallies), answer)
    return _json(answer)


async def _body(service: Service, request: Request, limit_bytes: int) -> bytes:
    return await read_body(
        request.stream(),
        announced=request.headers.get("content-length"),
        limit_bytes=limit_bytes,
        silence_s=service.settings.body_timeout_s,
        total_s=service.settings.body_total_s,
    )


def _refuse(exc: ClientDisconnect | BatchRefused | DecodeError) -> Response:
    if isinstance(exc, DecodeError):
        return _problem(422, exc.reason)
    if isinstance(exc, BatchRefused):
        return _problem(exc.status, exc.code)
    return _problem(400, "the body ended early")


def _decide(service: Service, header: BatchHeader, body: bytes) -> Receipt:
    received_ns, started_ns = service.clock.utc_ns(), service.clock.mono_ns()
    receipt = service.intake.take(header, body, received_ns=received_ns)
    # A label of a gateway's choosing would let it grow the metrics without bound.
    content = header.content if header.content in STREAMS or header.content == SUMMARY else "unknown"
    service.telemetry.decided(
        receipt, content=content, size_bytes=len(body), seconds=(service.clock.mono_ns() - started_ns) / NS_PER_S
    )
    return receipt


def _json(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _problem(status: int, problem: str, headers: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode({"problem": problem})
    return Response(body, status, headers=headers, media_type="application/json")
