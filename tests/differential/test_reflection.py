"""A caller with only the address finds every operation and all its types by reflection."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from tests.support.contract.exchange import contract_of

EVERY_SERVICE = [pytest.param(spec, id=spec.name) for spec in SERVICES]


@pytest.fixture(scope="module")
def database(server_address: str) -> Iterator[ProtoReflectionDescriptorDatabase]:
    # Its stream stays open as long as its channel, so it has one of its own.
    with grpc.insecure_channel(server_address) as channel:
        yield ProtoReflectionDescriptorDatabase(channel)


@pytest.fixture(scope="module")
def pool(database: ProtoReflectionDescriptorDatabase) -> DescriptorPool:
    """What reflection returns, without the descriptors of this process."""
    return DescriptorPool(database)


def reflected(spec: ServiceSpec, pool: DescriptorPool) -> ServiceDescriptor:
    return pool.FindServiceByName(contract_of(spec.name).full_name)


@pytest.mark.parametrize("spec", EVERY_SERVICE)
def test_service_is_listed(spec: ServiceSpec, database: ProtoReflectionDescriptorDatabase) -> None:
    assert contract_of(spec.name).full_name in database.get_services()


@pytest.mark.parametrize("spec", EVERY_SERVICE)
def test_every_operation_of_the_model_is_reflected(spec: ServiceSpec, pool: DescriptorPool) -> None:
    names = [method.name for method in reflected(spec, pool).methods]

    operations = [operation.name for operation in model.operations(model.load_service(spec.name))]
    assert sorted(names) == operations


@pytest.mark.parametrize("spec", EVERY_SERVICE)
def test_every_operation_streams_what_its_model_streams(
    spec: ServiceSpec, pool: DescriptorPool
) -> None:
    streams = {
        method.name: (method.client_streaming, method.server_streaming)
        for method in reflected(spec, pool).methods
    }

    assert streams == {
        operation.name: (
            model.streaming_member(operation.input_shape) is not None,
            model.streaming_member(operation.output_shape) is not None,
        )
        for operation in model.operations(model.load_service(spec.name))
    }


@pytest.mark.parametrize("spec", EVERY_SERVICE)
def test_every_type_is_resolvable_and_as_generated(spec: ServiceSpec, pool: DescriptorPool) -> None:
    generated = {method.name: method for method in contract_of(spec.name).methods}
    visited: set[str] = set()
    for method in reflected(spec, pool).methods:
        mine = generated[method.name]
        compare(method.input_type, mine.input_type, visited)
        compare(method.output_type, mine.output_type, visited)

    # Each request and each response at least; the number of further types is the model's.
    assert len(visited) >= 2 * len(generated)


def compare(reflected_type: Descriptor, generated: Descriptor, visited: set[str]) -> None:
    assert reflected_type.full_name == generated.full_name
    if generated.full_name in visited:
        return
    visited.add(generated.full_name)
    assert [
        (field.name, field.json_name, field.number, field.type, field.is_repeated)
        for field in reflected_type.fields
    ] == [
        (field.name, field.json_name, field.number, field.type, field.is_repeated)
        for field in generated.fields
    ]
    for field in generated.fields:
        other = reflected_type.fields_by_name[field.name]
        if field.message_type is not None:
            assert other.message_type is not None
            compare(other.message_type, field.message_type, visited)
        if field.enum_type is not None:
            assert other.enum_type is not None
            assert dict_of(other.enum_type.values_by_name) == dict_of(
                field.enum_type.values_by_name
            )


def dict_of(enum_values: object) -> dict[str, int]:
    return {name: value.number for name, value in enum_values.items()}  # type: ignore[attr-defined]  # upb's own mapping


def test_unregistered_method_is_unimplemented(channel: grpc.Channel) -> None:
    """An unregistered method returns a distinguishable error."""
    call = channel.unary_unary(
        f"/{contract_of(SERVICES[0].name).full_name}/NoSuchOperation",
        request_serializer=bytes,
        response_deserializer=bytes,
    )
    with pytest.raises(grpc.RpcError) as raised:
        call(b"", timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "this server has no such method" in str(raised.value.details())
