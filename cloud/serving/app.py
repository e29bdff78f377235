"""Builds the serving application: /predict over the models of one cloud, what is served, and health."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, Union

import msgspec
from fastapi import Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from cloud.serving.admission import Admission, problem
from cloud.serving.models import Models
from cloud.serving.predictor import Predictor
from cloud.serving.schema import Call, schema
from cloud.serving.telemetry import PREDICT, Counted, Telemetry
from cloud.settings import Layout, ServingSettings
from shared.clock import Clock
from shared.errors import ConfigError, ModelError
from shared.features.registry import FEATURE_SETS
from shared.log import FailureLog, get_logger

SCHEMAS = {features.model: schema(features) for features in FEATURE_SETS.values()}
"""By name of model; where two feature sets feed one model, the newer."""
_MOST_PROBLEMS = 5
_RETRY_AFTER_S = 1


class Problem(BaseModel):
    """What was wrong, in a sentence."""

    problem: str


class Health(BaseModel):
    """That the service answers."""

    status: str


class ServedModel(BaseModel):
    """One model: the version that answers by default, all trained ones, and how good the default is."""

    model: str
    versions: list[str]
    feature_set: str
    version: str | None = None
    refused: Annotated[str | None, Field(description="Why no version is served.")] = None
    metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}
    data_set: str | None = None
    intended_use: str | None = None


def build_app(layout: Layout, settings: ServingSettings, clock: Clock, *, token: str | None) -> FastAPI:
    """Return the application; with a token, all but /healthz and the description of the interface needs it."""
    models = Models(layout, clock, SCHEMAS, most=settings.max_loaded)
    telemetry = Telemetry(models.loaded)
    threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="predict")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for name in SCHEMAS:
            await _served(models, name)
        yield
        threads.shutdown()

    app = FastAPI(
        title="Sideline predictions",
        description="The models that gateways run, for those who ask over HTTP: one input, or many in one call.",
        lifespan=lifespan,
    )
    _bound(app, settings, telemetry, clock)
    _answer_errors(app)

    @app.get("/healthz")
    async def healthz() -> Health:
        return Health(status="ok")

    allowed = [] if token is None else [Depends(_bearer(token))]

    @app.get("/models", dependencies=allowed, responses={401: {"model": Problem}})
    async def list_models() -> list[ServedModel]:
        return [await _served(models, name) for name in SCHEMAS]

    @app.get("/metrics", dependencies=allowed, responses={401: {"model": Problem}})
    async def metrics() -> Response:
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    _add_predict(app, models, threads, allowed)
    return app


def _bound(app: FastAPI, settings: ServingSettings, telemetry: Telemetry, clock: Clock) -> None:
    """Bound what comes in, and count it; the counting is around the bounds, so that what is refused counts too."""
    app.add_middleware(
        Admission,
        most=settings.max_in_flight,
        body_bytes=settings.max_body_bytes,
        body_s=settings.body_timeout_s,
        retry_after_s=_RETRY_AFTER_S,
    )
    app.add_middleware(Counted, telemetry=telemetry, clock=clock)


def _add_predict(app: FastAPI, models: Models, threads: ThreadPoolExecutor, allowed: Sequence[Any]) -> None:
    requests: Any = Union[tuple(entry.request for entry in SCHEMAS.values())]  # noqa: UP007  made at run time
    responses: Any = Union[tuple(entry.response for entry in SCHEMAS.values())]  # noqa: UP007
    refusals: dict[int | str, Any] = {
        401: {"model": Problem, "description": "No token, or not this service's."},
        404: {"model": Problem, "description": "No such model or version."},
        408: {"model": Problem, "description": "The body did not arrive in time."},
        409: {"model": Problem, "description": "The version may not be released, so it is not served."},
        413: {"model": Problem, "description": "The body is too large."},
        422: {"model": Problem, "description": "A name, shape or number is wrong."},
        500: {"model": Problem, "description": "The model answered with what is no prediction."},
        503: {"model": Problem, "description": "Too many requests at once; Retry-After says when to come back."},
    }
    failures = FailureLog(get_logger("serving"), "a model does not answer")

    @app.post(PREDICT, dependencies=list(allowed), response_model=responses, responses=refusals)
    async def predict(request: Request, call: Annotated[requests, Body(discriminator="model")]) -> Response:
        try:
            predictor = await models.get(call.model, call.version)
        except ConfigError as exc:
            return problem(404, exc.problem)
        except ModelError as exc:
            return problem(409, exc.reason)
        request.state.model, request.state.version = call.model, predictor.card.version
        try:
            body = await asyncio.get_running_loop().run_in_executor(threads, _answer, predictor, call)
        except ModelError as exc:
            failures.failed(exc.reason)
            return problem(500, exc.reason)
        failures.recovered()
        return Response(body, media_type="application/json")


def _answer(predictor: Predictor, call: Call) -> bytes:
    outputs = predictor.predict(call.batch())
    card = predictor.card
    answer: dict[str, Any] = {"model": card.name, "version": card.version, "feature_set": card.feature_set}
    if call.single:
        answer["output"] = outputs[0]
    else:
        answer["outputs"] = outputs
    return msgspec.json.encode(answer)


async def _served(models: Models, name: str) -> ServedModel:
    versions = await asyncio.to_thread(models.versions, name)
    feature_set = SCHEMAS[name].features.set_id
    try:
        card = (await models.get(name, None)).card
    except (ConfigError, ModelError) as exc:
        return ServedModel(model=name, versions=versions, feature_set=feature_set, refused=str(exc))
    return ServedModel(
        model=name,
        version=card.version,
        versions=versions,
        feature_set=feature_set,
        metrics=card.metrics,
        baseline=card.baseline,
        data_set=card.data_set,
        intended_use=card.intended_use,
    )


def _bearer(token: str) -> Any:
    """Return a dependency that lets in who shows the token."""
    expected = hashlib.sha256(token.encode()).digest()

    async def check(
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    ) -> None:
        given = hashlib.sha256((shown.credentials if shown else "").encode()).digest()
        if not hmac.compare_digest(given, expected):
            raise HTTPException(401, "no bearer token, or not this service's", {"WWW-Authenticate": "Bearer"})

    return check


def _answer_errors(app: FastAPI) -> None:
    """Answer every refusal as a Problem, without repeating what was sent."""

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, exc: RequestValidationError) -> Response:
        found = exc.errors()
        for error in found:
            if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
                status = 404 if error["type"] == "union_tag_invalid" else 422
                return problem(status, f"`model` must be one of: {', '.join(SCHEMAS)}")
        more = f" (and {len(found) - _MOST_PROBLEMS} more)" if len(found) > _MOST_PROBLEMS else ""
        return problem(422, "; ".join(_sentence(error) for error in found[:_MOST_PROBLEMS]) + more)

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, exc: StarletteHTTPException) -> Response:
        return problem(exc.status_code, str(exc.detail), dict(exc.headers or {}))


def _sentence(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid" or error["loc"] == ("body",):
        return "the body is not a JSON object"
    # The first part says that it is the body, the second repeats the model.
    place = ".".join(str(part) for part in error["loc"][1:] if part not in SCHEMAS)
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
