"""Builds the ingest application: gateway routes, health, metrics, and the signed releases as static files."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger
from cloud.ingest.routes import gateway_routes, make_service
from cloud.objects import Objects
from cloud.settings import CloudSettings, Layout
from shared.clock import Clock
from shared.errors import StoreError
from shared.release import METADATA_PATH, TARGETS_PATH


class ReleaseFiles(StaticFiles):
    """Files without caching headers: a gateway must see a new timestamp at once; TUF signs what they hold."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file as it is."""
        del scope
        response = FileResponse(full_path, status_code=status_code, stat_result=stat_result)
        for header in ("etag", "last-modified"):
            del response.headers[header]
        return response


def build_app(layout: Layout, settings: CloudSettings, clock: Clock) -> FastAPI:
    """Return the application; the layout must have been made (`cloud.setup.make_layout`).

    Raises: StoreError when the ledger cannot be opened.
    """
    intake = Intake(ledger=Ledger(layout.ledger), objects=Objects(layout.objects), clock=clock)
    intake.objects.clear_staging()
    service = make_service(layout, settings, clock, intake)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        intake.ledger.close()

    app = FastAPI(title="Sideline ingest", lifespan=lifespan, openapi_url=None)
    app.include_router(gateway_routes(service))

    @app.exception_handler(StoreError)
    async def busy(_: Request, exc: Exception) -> Response:
        service.store_failures.failed(str(exc))
        return Response(status_code=503, headers={"Retry-After": str(settings.retry_after_s)})

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    app.mount(METADATA_PATH.rstrip("/"), ReleaseFiles(directory=layout.release_metadata))
    app.mount(TARGETS_PATH.rstrip("/"), ReleaseFiles(directory=layout.release_targets))
    return app
