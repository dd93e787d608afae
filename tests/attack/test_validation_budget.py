"""The CPU time of parsing and validating the most expensive requests of an authorized caller.

The requests are generated from the descriptors of both contracts: for each field of each message,
what its type allows within 4 MiB. `make test` measures a sample and the known worst cases;
`ATTACKS=all` measures all of them, which takes some minutes.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from taskgate_server import errors, wire_records
from taskgate_server.app import YOUNG_OBJECTS
from taskgate_server.aws import model
from taskgate_server.calls import parse_request
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.handlers import load_operations
from taskgate_server.rpc.validation import DEFAULT_LIMITS, Limits
from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.request import request_key
from tests.attack.hostile_messages import attacks, record, repeated
from tests.support.contract import mirror
from tests.support.contract.synthesis import FULL, Synthesizer
from tests.support.machine_speed import slowness

LOG = logging.getLogger(__name__)

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_SECONDS: Final = 0.250
TRIES: Final = 5
"""Of a request above the bar, of which the quickest counts."""
SAMPLE: Final = 1 if os.environ.get("ATTACKS") == "all" else 120
"""Measure one of this many attacks."""
OPERATIONS_SAMPLE: Final = 1 if SAMPLE == 1 else 10
"""Of the operations whose records are counted, which takes 0.1 s, take one of this many."""

OPERATIONS: Final = {
    (spec.name, name): operation
    for spec in SERVICES
    for name, operation in load_operations(spec).items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a request."""

    attack: str
    parsing: float
    validation: float
    outcome: str

    @property
    def seconds(self) -> float:
        return self.parsing + self.validation

    def __str__(self) -> str:
        return f"{self.attack}: {self.parsing:.3f} + {self.validation:.3f} s, {self.outcome}"


@pytest.fixture(autouse=True)
def garbage_collection_as_in_the_server() -> Iterator[None]:
    """Collect as `app.run` does: full collections of all that the tests import take 0.3 s each."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def measure(
    operation: Operation, attack: str, data: bytes, limits: Limits = DEFAULT_LIMITS
) -> Cost:
    """Return the CPU seconds of a request until it would be sent to AWS.

    A request above the bar has other tries, since other processes compete for the caches.
    """
    costs = []
    for _ in range(TRIES):
        costs.append(_measure(operation, attack, data, limits))
        if costs[-1].seconds <= MAX_SECONDS * slowness():
            break
    return min(costs, key=lambda cost: cost.seconds)


def _measure(operation: Operation, attack: str, data: bytes, limits: Limits) -> Cost:
    assert len(data) <= MAX_BYTES
    began = parsed = time.process_time()
    outcome = "OK"
    try:
        request = parse_request(operation.request_class, data)
        parsed = time.process_time()
        request_key(operation.name, operation.to_params(request, limits))
    except errors.TaskgateError as error:
        outcome = error.message[:100]
    ended = time.process_time()
    return Cost(attack=attack, parsing=parsed - began, validation=ended - parsed, outcome=outcome)


def report(costs: list[Cost]) -> None:
    """Log the most expensive ones: `--log-cli-level=INFO` shows them."""
    costs.sort(key=lambda cost: cost.seconds, reverse=True)
    worst = "\n".join(str(cost) for cost in costs[:15])
    LOG.info("%d requests; the most expensive:\n%s", len(costs), worst)


def every_attack() -> Iterator[tuple[Operation, str, Callable[[], bytes]]]:
    """Every attack on every operation; messages that several requests have in the first of them."""
    seen: set[str] = set()
    for (service, name), operation in OPERATIONS.items():
        descriptor: Any = operation.request_class.DESCRIPTOR
        for attack, make in attacks(descriptor, MAX_BYTES, seen):
            yield operation, f"{service}.{name} {attack}", make


@pytest.mark.alone
def test_requests_stay_within_the_cpu_limit() -> None:
    chosen = itertools.islice(every_attack(), 0, None, SAMPLE)
    costs = [measure(operation, name, make()) for operation, name, make in chosen]

    report(costs)
    assert len(costs) > 50
    assert [str(cost) for cost in costs if cost.seconds > MAX_SECONDS * slowness()] == []


def filled_requests() -> Iterator[tuple[Operation, str, bytes]]:
    """Valid requests whose containers without a maximum have as many elements as are validated."""
    for (service, name), operation in OPERATIONS.items():
        shape = operation.model.input_shape
        if shape is None or model.streaming_member(shape):
            continue
        params = Synthesizer(wire=False).params(operation.model, FULL)
        for holder, key in unbounded(shape, params):
            small = holder[key]
            holder[key] = _grown(small)
            request = operation.request_class()
            mirror.write(request, shape, params)
            holder[key] = small
            data = request.SerializeToString()
            if len(data) <= MAX_BYTES:
                yield operation, f"{service}.{name} {key} filled", data


def _grown(container: Any) -> Any:
    count = 19_000 if not isinstance(next(iter(container), None), dict) else 9_000
    if isinstance(container, list):
        return container[:1] * count
    value = next(iter(container.values()))
    return {f"k{number}": value for number in range(count)}


def unbounded(shape: model.Shape, value: Any) -> Iterator[tuple[Any, Any]]:
    """The containers in a request that the model has no maximum for: what holds each, and where."""
    children: Iterator[tuple[Any, model.Shape]]
    if isinstance(shape, model.StructureShape) and isinstance(value, dict):
        if model.is_document(shape):
            return
        children = ((key, shape.members[key]) for key in list(value))
    elif isinstance(shape, model.MapShape):
        children = ((key, shape.value) for key in list(value))
    elif isinstance(shape, model.ListShape):
        children = ((index, shape.member) for index in range(len(value)))
    else:
        return
    for key, child in children:
        is_container = isinstance(child, model.ListShape | model.MapShape)
        if is_container and "max" not in child.metadata and value[key]:
            yield value, key
        yield from unbounded(child, value[key])


@pytest.mark.alone
def test_largest_valid_requests_stay_within_the_cpu_limit() -> None:
    costs = [measure(*case) for case in filled_requests()]

    report(costs)
    assert any(cost.outcome == "OK" for cost in costs)
    assert [str(cost) for cost in costs if cost.seconds > MAX_SECONDS * slowness()] == []


NO_LIMITS: Final = Limits(faults=10**9, values=10**9)
MANY_RECORDS: Final = repeated(record(100, b""), MAX_BYTES)


def test_every_request_with_too_many_records_is_refused_before_it_is_parsed() -> None:
    for operation in itertools.islice(OPERATIONS.values(), 0, None, OPERATIONS_SAMPLE):
        with pytest.raises(errors.TaskgateError, match="more than 60000 fields and elements"):
            parse_request(operation.request_class, MANY_RECORDS)


@pytest.mark.alone
def test_the_measurement_detects_validation_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = OPERATIONS["omics", "CompleteMultipartReadSetUpload"]
    parts = operation.request_class.DESCRIPTOR.fields_by_name["parts"]
    data = record(parts.number, b"") * 70_000  # more than the limits on records and on values

    limited = measure(operation, "parts", data)
    monkeypatch.setattr(wire_records, "exceeds", lambda *_: False)
    unlimited = _measure(operation, "parts", data, NO_LIMITS)  # above the bar: once is enough

    assert limited.seconds < MAX_SECONDS < unlimited.validation


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (51, "validation stopped there"),
        (200_000, "has more than 75000 values"),
    ],
)
def test_an_error_says_that_validation_stopped(count: int, message: str) -> None:
    operation = OPERATIONS["omics", "CompleteMultipartReadSetUpload"]
    request = operation.request_class()
    for _ in range(count):
        request.parts.add()  # type: ignore[attr-defined]  # of this operation

    with pytest.raises(errors.TaskgateError, match=message) as raised:
        operation.to_params(request)

    (violations,) = (detail for detail in raised.value.details)
    assert len(violations.field_violations) <= DEFAULT_LIMITS.faults  # type: ignore[attr-defined]  # a BadRequest


def test_an_upload_of_the_most_parts_is_accepted() -> None:
    operation = OPERATIONS["omics", "CompleteMultipartReadSetUpload"]
    request: Any = operation.request_class(sequence_store_id="1234567890", upload_id="1234567890")
    for number in range(1, 10_001):
        request.parts.add(part_number=number, part_source=1, checksum="x" * 64)

    params = operation.to_params(
        parse_request(operation.request_class, request.SerializeToString())
    )

    assert len(params["parts"]) == 10_000


def test_elements_of_a_container_of_the_wrong_size_are_not_validated() -> None:
    operation = OPERATIONS["deadline", "SearchJobs"]
    request: Any = operation.request_class(farm_id=f"farm-{'0' * 32}", item_offset=0)
    request.queue_ids.append(f"queue-{'0' * 32}")
    for _ in range(4):
        request.filter_expressions.filters.add()

    with pytest.raises(errors.TaskgateError) as raised:
        operation.to_params(request)

    (violations,) = raised.value.details
    fields = [each.field for each in violations.field_violations]  # type: ignore[attr-defined]  # a BadRequest
    assert fields == ["filter_expressions.filters"]


def test_fields_of_a_newer_contract_are_named_at_any_depth() -> None:
    operation = OPERATIONS["deadline", "SearchJobs"]
    filters = operation.request_class.DESCRIPTOR.fields_by_name["filter_expressions"]
    inner: Any = filters.message_type
    unknown = record(900, b"new")
    data = record(filters.number, record(inner.fields_by_name["filters"].number, unknown))

    with pytest.raises(errors.TaskgateError, match=r"filters\[0\]\.#900: is a field"):
        operation.to_params(parse_request(operation.request_class, data))


def test_a_field_that_a_document_does_not_have_is_refused() -> None:
    operation = OPERATIONS["omics", "StartRun"]
    parameters = operation.request_class.DESCRIPTOR.fields_by_name["parameters"]
    valid = Synthesizer(wire=False).params(operation.model, FULL)
    request = operation.request_class()
    assert operation.model.input_shape is not None
    mirror.write(request, operation.model.input_shape, valid)
    data = request.SerializeToString() + record(parameters.number, record(900, b"new"))

    with pytest.raises(errors.TaskgateError, match="bytes of fields that this server does not"):
        operation.to_params(parse_request(operation.request_class, data))
