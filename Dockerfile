# The server:              docker build -t taskgate .
# The server and emulator: docker build --build-arg PINS=requirements.txt -t taskgate-sandbox .
# docs/image.md describes the content, and how to build it reproducibly.

# Any image with Python 3.11 or newer and certificate authorities. The default is a tag, which moves; docs/image.md
# describes how to pin a digest. Everything else is pinned below.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/taskgate
# pip would write bytecode of what it imports from the server's environment, which contains the time of the build.
ENV PYTHONDONTWRITEBYTECODE=1
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_VIRTUALENV=1
# This layer changes only with the pins. requirements.txt includes those of the emulator, which add 83 MB.
ARG PINS=requirements-server.txt
COPY requirements-build.txt ${PINS} ./
# The optional secret `ca`: certificate authorities of a private package index, in PEM.
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
# Without a shell, which the base image need not have. The scripts are not part of the image.
RUN --mount=type=bind,from=build,source=/src/deploy/image,target=/tmp/image ["python3", "-B", "/tmp/image/finish.py", "/opt/taskgate"]
ENV PATH=/opt/taskgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Other machines can connect, so the server requires TLS or the setting for plaintext: docs/security.md. The health
# port is in plaintext.
ENV TASKGATE_LISTEN_HOST=0.0.0.0 TASKGATE_HEALTH_PORT=50052
USER 65532:65532
WORKDIR /
EXPOSE 50051 50052 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["taskgate", "health", "--address", "127.0.0.1:50052"]
ENTRYPOINT ["taskgate"]
CMD ["serve"]
# Last, so that a new revision reuses the layers.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="taskgate" \
      org.opencontainers.image.description="One gRPC service in front of AWS Deadline Cloud and AWS HealthOmics tasks" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/taskgate/taskgate"
