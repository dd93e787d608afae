"""gRPC's server reflection, with which tools read the contract.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. v1 and v1alpha have the same
messages in two packages; grpcio-reflection has v1alpha alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from google.protobuf import descriptor_pool
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2

from taskgate_server.calls import CallContext, Rpc
from taskgate_server.rpc.descriptor_files import DescriptorFiles, add_renamed

MAX_REQUEST_BYTES: Final = 4096
"""Each response contains its request, as the protocol says."""

V1_PACKAGE: Final = "grpc.reflection.v1"
V1_FILE: Final = "grpc/reflection/v1/reflection.proto"
SERVICES: Final = tuple(
    f"{package}.ServerReflection" for package in (V1_PACKAGE, reflection_pb2.DESCRIPTOR.package)
)

Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse


class Reflection:
    """Serves reflection requests for services by their full names."""

    def __init__(self, services: Iterable[str], files: DescriptorFiles) -> None:
        self._services = sorted(services)
        self._files = files

    async def serve(
        self, requests: AsyncIterator[Request], _: CallContext
    ) -> AsyncIterator[Response]:
        """ServerReflection.ServerReflectionInfo."""
        async for request in requests:
            yield self._respond(request)

    def _respond(self, request: Request) -> Response:
        response = Response(valid_host=request.host, original_request=request)
        try:
            self._fill(response, request)
        except KeyError:
            response.error_response.error_code = StatusCode.NOT_FOUND.value[0]
            response.error_response.error_message = "not found; list_services lists the services"
        return response

    def _fill(self, response: Response, request: Request) -> None:
        found = response.file_descriptor_response.file_descriptor_proto
        match request.WhichOneof("message_request"):
            case "file_by_filename":
                found.extend(self._files.by_name(request.file_by_filename))
            case "file_containing_symbol":
                found.extend(self._files.by_symbol(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                found.extend(
                    self._files.by_extension(wanted.containing_type, wanted.extension_number)
                )
            case "all_extension_numbers_of_type":
                message = request.all_extension_numbers_of_type
                numbers = self._files.extension_numbers(message)
                response.all_extension_numbers_response.base_type_name = message
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case None:
                response.error_response.error_code = StatusCode.INVALID_ARGUMENT.value[0]
                response.error_response.error_message = (
                    "message_request is not set: set one of its fields"
                )


def make_rpcs(services: Iterable[str], packages: Iterable[str]) -> list[Rpc]:
    """Return the RPCs that describe the services with these full names."""
    pool = descriptor_pool.Default()
    add_renamed(pool, reflection_pb2.DESCRIPTOR.name, V1_FILE, V1_PACKAGE)
    reflection = Reflection(services, DescriptorFiles(pool, packages))
    return [
        Rpc(
            method=f"{service}/ServerReflectionInfo",
            request_class=Request,
            response_class=Response,
            behaviour=reflection.serve,
            client_streams=True,
            server_streams=True,
            max_request_bytes=MAX_REQUEST_BYTES,
        )
        for service in SERVICES
    ]
