# The server as an image: docker build -t taskgate .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/taskgate
ENV PATH=/opt/taskgate/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Pins first: this layer changes only when they do.
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY protos protos
COPY third_party third_party
COPY server server
COPY clients/python clients/python
RUN pip install --no-deps .

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="taskgate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="One gRPC service in front of AWS Deadline Cloud and AWS HealthOmics tasks"
COPY --from=build /opt/taskgate /opt/taskgate
ENV PATH=/opt/taskgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Other machines can reach it, so it does not start without TLS, or the setting that does without it:
# docs/security.md. Health has a port of its own, in plaintext.
ENV TASKGATE_LISTEN_HOST=0.0.0.0 TASKGATE_HEALTH_PORT=50052
USER 65532:65532
EXPOSE 50051 50052
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["taskgate", "health", "--address", "127.0.0.1:50052"]
ENTRYPOINT ["taskgate"]
CMD ["serve"]
