# MLflow's pages over the cloud's tracking database. The cloud itself needs only mlflow-skinny; the server is kept out of
# its image because it had unauthenticated remote code execution before (CVE-2026-2033), and nothing but people needs it.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# Build tools live in a virtual environment of their own and stay behind.
FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/mlflow
COPY deployment/constraints.txt ./
# The version of mlflow-skinny in the constraints: client and server must agree on the database's schema.
RUN /tools/bin/pip --python /opt/mlflow/bin/python install \
    --only-binary :all: --constraint constraints.txt mlflow==3.17.2

FROM ${BASE_IMAGE} AS mlflow
ARG VERSION=0.4.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sideline tracking pages" \
    org.opencontainers.image.description="MLflow's pages over the cloud's tracking database, read only" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# Another user than the cloud's 10001: it may read the runs, not the gateways' token digests.
RUN useradd --uid 10002 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlflow
COPY --from=builder /opt/mlflow /opt/mlflow
# Without job execution: eight more processes, 1 GB, that would serve evaluations nobody here asks for.
ENV PATH=/opt/mlflow/bin:$PATH HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 10002:10002
WORKDIR /tmp
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health', timeout=4)"]
ENTRYPOINT ["mlflow", "server"]
# The names that it answers to: a page elsewhere must not reach it through a name of its own for this address.
CMD ["--host", "0.0.0.0", "--allowed-hosts", "localhost:5000,127.0.0.1:5000", "--workers", "1", \
    "--backend-store-uri", "sqlite:////data/mlflow.sqlite"]
