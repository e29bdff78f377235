# The cloud: ingest and release API, pipeline, tabular training, release. No torch: the graph model is trained elsewhere.
# Built by deployment/docker/build from the repository's root. The base image is the only thing it takes from a registry.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# Build tools live in a virtual environment of their own and stay behind.
FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/sideline
COPY deployment/constraints.txt ./
RUN /tools/bin/pip install --only-binary :all: --constraint constraints.txt hatchling
COPY pyproject.toml deployment/docker/requirements.py ./
RUN /tools/bin/python requirements.py cloud > requirements.txt \
    && /tools/bin/pip --python /opt/sideline/bin/python install \
        --only-binary :all: --constraint constraints.txt --requirement requirements.txt
COPY README.md ./
COPY shared shared
COPY cloud cloud
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /tools/bin/pip --python /opt/sideline/bin/python install --no-deps wheels/*.whl

FROM ${BASE_IMAGE} AS cloud
ARG VERSION=0.4.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sideline cloud" \
    org.opencontainers.image.description="Ingest, pipeline, tabular training and signed releases" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# Fresh named volumes take their owner from these folders; the signing keys have a volume of their own.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sideline \
    && install --directory --owner=10001 --group=10001 /data /enrolment /serving \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data/keys
COPY --from=builder /opt/sideline /opt/sideline
COPY deployment/docker/cloud-setup /usr/local/bin/cloud-setup
COPY deployment/models /opt/sideline/models
# PYTHONSAFEPATH: nothing in the writable data folder may be imported as code.
ENV PATH=/opt/sideline/bin:$PATH HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "cloud"]
CMD ["api", "--settings", "/etc/sideline/cloud.toml"]
