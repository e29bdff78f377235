# The simulated squad: straps behind an HCI port, position tags at the broker. For trials, never beside a real pitch.
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
RUN /tools/bin/python requirements.py sim > requirements.txt \
    && /tools/bin/pip --python /opt/sideline/bin/python install \
        --only-binary :all: --constraint constraints.txt --requirement requirements.txt
COPY README.md ./
COPY shared shared
COPY firmware_sim firmware_sim
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /tools/bin/pip --python /opt/sideline/bin/python install --no-deps wheels/*.whl

FROM ${BASE_IMAGE} AS sim
ARG VERSION=0.4.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sideline simulator" \
    org.opencontainers.image.description="A squad of simulated athletes whose sensors speak the real protocols" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# A fresh named volume takes its owner from this folder.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sideline \
    && install --directory --owner=10001 --group=10001 /squad
COPY --from=builder /opt/sideline /opt/sideline
# PYTHONSAFEPATH: nothing in the writable folder may be imported as code.
ENV PATH=/opt/sideline/bin:$PATH HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
USER 10001:10001
WORKDIR /squad
STOPSIGNAL SIGTERM
# Not a connection to the HCI port: it is an adapter, and whoever connects is its host.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["test", "-s", "/tmp/ready.json"]
ENTRYPOINT ["python", "-m", "firmware_sim"]
CMD ["run", "--ready-file", "/tmp/ready.json"]
