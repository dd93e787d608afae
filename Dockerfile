# The server as an image: docker build -t taskgate .
# With the local AWS besides: docker build --build-arg PINS=requirements.txt -t taskgate-sandbox .
# docs/image.md has what is in it, and how two builds give one digest.

# Any image with Python 3.11 or newer and certificate authorities. The default is a tag, which moves: name yours by
# digest, as docs/image.md describes. All else is pinned below.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/taskgate
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_VIRTUALENV=1
# Pins first: this layer changes only when they do. requirements.txt has the emulator's, too: 83 MB more.
ARG PINS=requirements-server.txt
COPY requirements-build.txt ${PINS} ./
# The secret `ca`: authorities of a package index inside of a company, in PEM; most builds have none.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/build/bin/pip install --require-hashes -r requirements-build.txt && \
    /opt/build/bin/pip --python /opt/taskgate/bin/python install --no-compile --require-hashes -r "${PINS}"
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY protos protos
COPY third_party third_party
COPY emulator emulator
COPY server server
COPY clients/python clients/python
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . && \
    /opt/build/bin/pip --python /opt/taskgate/bin/python install --no-compile --no-deps --no-index --find-links dist taskgate
COPY deploy/image deploy/image
RUN /opt/taskgate/bin/python -B deploy/image/trim.py

FROM ${BASE_IMAGE}
COPY --from=build /opt/taskgate /opt/taskgate
# Without a shell, so that the base needs none. The scripts do not stay.
RUN --mount=type=bind,from=build,source=/src/deploy/image,target=/tmp/image ["python3", "-B", "/tmp/image/finish.py", "/opt/taskgate"]
ENV PATH=/opt/taskgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Other machines can reach it, so it does not start without TLS, or the setting that does without it:
# docs/security.md. Health has a port of its own, in plaintext.
ENV TASKGATE_LISTEN_HOST=0.0.0.0 TASKGATE_HEALTH_PORT=50052
USER 65532:65532
WORKDIR /
EXPOSE 50051 50052
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["taskgate", "health", "--address", "127.0.0.1:50052"]
ENTRYPOINT ["taskgate"]
CMD ["serve"]
# Last, so that another commit keeps the layers.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="taskgate" \
      org.opencontainers.image.description="One gRPC service in front of AWS Deadline Cloud and AWS HealthOmics tasks" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/taskgate/taskgate"
