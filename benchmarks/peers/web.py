"""Peer (c): FastAPI and boto3, JSON over HTTP/1.1, on uvicorn with uvloop and httptools.

A plain `def` endpoint, which FastAPI runs in its pool of 40 threads: what its tutorial shows for
blocking libraries.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI  # type: ignore[import-not-found]  # in the benchmark's environment

from benchmarks.peers import upstream

THREADS = 40
"""Of FastAPI's pool, by default."""


def make_app(client: Any) -> Any:
    """Make the application, which has one route."""
    app = FastAPI()

    def get_task(farm: str, queue: str, job: str, step: str, task: str) -> dict[str, Any]:
        answer = client.get_task(farmId=farm, queueId=queue, jobId=job, stepId=step, taskId=task)
        del answer["ResponseMetadata"]
        return dict(answer)

    app.add_api_route("/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}", get_task)
    return app


def main() -> None:
    """Serve until killed."""
    app = make_app(upstream.make_client("deadline", upstream.upstream_url(), THREADS))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=4096
    )
    upstream.print_port(listener.getsockname()[1])
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
