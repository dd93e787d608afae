"""Peer (b), the facade anyone would write: sync gRPC, 10 threads, one boto3 call per RPC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.peers import messages, upstream
from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc

THREADS = 10


class Deadline(deadline_pb2_grpc.DeadlineServiceServicer):
    """GetTask of Deadline Cloud."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def GetTask(  # noqa: N802  # gRPC's name
        self, request: deadline_pb2.GetTaskRequest, context: grpc.ServicerContext
    ) -> deadline_pb2.GetTaskResponse:
        """Return one task."""
        try:
            task = self._client.get_task(**messages.task_params(request))
        except (BotoCoreError, ClientError) as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return messages.task_message(task)


class Omics(omics_pb2_grpc.OmicsServiceServicer):
    """GetRunTask of HealthOmics."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def GetRunTask(  # noqa: N802  # gRPC's name
        self, request: omics_pb2.GetRunTaskRequest, context: grpc.ServicerContext
    ) -> omics_pb2.GetRunTaskResponse:
        """Return one task of a run."""
        try:
            task = self._client.get_run_task(id=request.id, taskId=request.task_id)
        except (BotoCoreError, ClientError) as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return messages.run_task_message(task)


def main() -> None:
    """Serve until killed."""
    url = upstream.upstream_url()
    server = grpc.server(ThreadPoolExecutor(THREADS))
    deadline_pb2_grpc.add_DeadlineServiceServicer_to_server(
        Deadline(upstream.make_client("deadline", url, THREADS)),  # type: ignore[abstract]  # the benchmark calls no other method
        server,
    )
    omics_pb2_grpc.add_OmicsServiceServicer_to_server(
        Omics(upstream.make_client("omics", url, THREADS)),  # type: ignore[abstract]  # the same
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    upstream.print_port(port)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
