"""Plain resources: create, get, list, update and delete, derived from the model.

Each function here builds the behaviour of one operation from its resource in the catalog.
Operations without a behaviour return 501, because no correct response can be derived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskgate_emulator.core.catalog import Resource, load_catalog, rows_member
from taskgate_emulator.core.derived import (
    UnderivedError,
    complete_record,
    creation_time,
    is_derivable,
    new_id,
)
from taskgate_emulator.core.errors import AwsError, OperationNotEmulatedError, conflict, not_found
from taskgate_emulator.core.operations import Behaviour, Call, error_names
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import ACCOUNT_ID, CALLER, Account, Key, Record
from taskgate_server.aws.model import OperationModel, StructureShape, enum_values

__all__ = [
    "delete_contents",
    "generic_behaviour",
    "is_member",
    "list_plain",
    "perform_plain",
    "require_resource",
]

_PAGING = frozenset({"maxResults", "maxItems", "nextToken", "startingToken"})
_OWNER = "workflowOwnerId"
_TOKENS = frozenset({"clientToken", "requestId"})

_Find = Callable[[str], Behaviour | None]


def generic_behaviour(operation: OperationModel, find: _Find) -> Behaviour | None:
    """Return the behaviour of an operation of a plain resource, or None if it cannot be derived.

    Args:
        operation: of a service.
        find: returns the behaviour of another operation of the service, generic or hand-written.
    """
    found = load_catalog(operation.service_model.service_name).verbs.get(operation.name)
    if found is None:
        return None
    verb, resource = found
    if verb == "BatchGet":
        return _batch_get(resource, find)
    if verb in _READS:
        return _READS[verb](resource, operation)
    return _WRITES[verb](resource, operation) if is_derivable(resource) else None


def perform_plain(call: Call) -> Record:
    """Perform a call as an operation of a plain resource; hand-written behaviours add to it.

    Raises:
        AwsError: the resource, or one that it needs, does not exist.
    """
    verb, resource = load_catalog(call.operation.service_model.service_name).verbs[
        call.operation.name
    ]
    behave = {**_READS, **_WRITES}[verb](resource, call.operation)
    if behave is None:
        raise ValueError(f"{call.operation.name} is not an operation of a plain resource")
    return behave(call)


def list_plain(call: Call, to_record: Callable[[Key, Record], Record]) -> Record:
    """Perform a List operation of a plain resource.

    Args:
        call: of the operation.
        to_record: completes a row, before the filters of the call are applied to it.
    """
    _, resource = load_catalog(call.operation.service_model.service_name).verbs[call.operation.name]
    found = rows_member(call.operation)
    if found is None:
        raise ValueError(f"the response of {call.operation.name} has no rows")
    labels = _path_labels(call.operation)
    scope = tuple(call.params[label] for label in labels)
    if scope:
        _require_outer(call.account, resource, (*scope, ""))
    matches = _filter(call, resource, labels)

    def to_item(key: Key, record: Record) -> Record | None:
        complete = to_record(key, record)
        return complete if matches(key, complete) else None

    return list_rows(call, found[0], resource.kind, scope, to_item)


def delete_contents(account: Account, resource: Resource, key: Key) -> None:
    """Delete all rows inside a resource, whatever their kinds."""
    for kind, inner in list(account.rows_inside(resource.service, key)):
        account.delete(kind, inner)


def require_resource(account: Account, resource: Resource, params: Mapping[str, Any]) -> Record:
    """Return the record of a resource.

    Raises:
        AwsError: it does not exist; the error names the outermost resource that is missing.
    """
    operation = resource.operations.get("Get") or next(iter(resource.operations.values()))
    key = resource.key(params, _labels_in(operation, resource))
    record = account.table(resource.kind).record(key)
    if record is None:
        _require_outer(account, resource, key)
        raise not_found(_word(resource), key[-1])
    return record


def _create(resource: Resource, operation: OperationModel) -> Behaviour:
    replaces = operation.name.startswith(("Put", "Associate"))

    def create(call: Call) -> Record:
        account = call.account
        ids = _new_ids(resource, operation, call)
        key = resource.key(ids)
        _require_outer(account, resource, key)
        _require_linked(account, resource, ids)
        if not replaces:
            if account.table(resource.kind).record(key) is not None:
                raise conflict(
                    _word(resource), key[-1], "It exists already", "RESOURCE_ALREADY_EXISTS"
                )
            account.admit(account, resource.kind, key)
        given = {name: value for name, value in call.params.items() if name not in _TOKENS}
        if "tags" in given and "tags" not in (resource.got.members if resource.got else ()):
            given["_tags"] = given.pop("tags")
        record: dict[str, Any] = {**given, **ids}
        try:
            complete_record(resource, record, call.params, account)
        except UnderivedError as error:
            raise OperationNotEmulatedError(
                resource.service, f"{operation.name} without {error}"
            ) from error
        account.put(resource.kind, key, record)
        return record

    return create


def _new_ids(resource: Resource, operation: OperationModel, call: Call) -> dict[str, str]:
    """Return the ids of a new resource: those in the params, and a new one of its own."""
    given = _labels_in(operation, resource)
    ids = {
        label: call.params[name]
        for label, name in zip(resource.labels, given, strict=False)
        if name in call.params
    }
    own = resource.labels[-1]
    if own not in ids:
        output = operation.output_shape
        shape = output.members.get(own) if output else None
        if own in call.params:
            ids[own] = call.params[own]
        elif shape is not None:
            ids[own] = new_id(shape, resource.noun, call.account.random)
    return ids


def _get(resource: Resource, operation: OperationModel) -> Behaviour | None:
    wrapper = resource.wrapper

    def get(call: Call) -> Record:
        if call.params.get("export"):  # to S3, which is not emulated
            raise OperationNotEmulatedError(resource.service, f"{operation.name} with export")
        record = require_resource(call.account, resource, call.params)
        given = {name: call.params[name] for name in call.params if name in {_OWNER, *record}}
        if not all(_matches(record, name, value, call) for name, value in given.items()):
            raise not_found(_word(resource), call.params[_labels_in(operation, resource)[-1]])
        return {wrapper: record} if wrapper else record

    return get if operation.output_shape is not None else None


def _list(resource: Resource, operation: OperationModel) -> Behaviour | None:
    found = rows_member(operation)
    labels = _path_labels(operation)
    if found is None or len(labels) != resource.scope_size:
        return None
    return lambda call: list_plain(call, lambda _, record: record)


def _filter(
    call: Call, resource: Resource, labels: tuple[str, ...]
) -> Callable[[Key, Record], bool]:
    """Return the filter that the params of a List operation describe.

    Raises:
        AwsError: the rows do not have the filtered member.
    """
    filters = {
        name: value for name, value in call.params.items() if name not in {*labels, *_PAGING}
    }
    filters |= filters.pop("filter", {})

    def matches(key: Key, record: Record) -> bool:
        return all(
            is_member(call.account, resource, key, value)
            if name == "principalId"
            else _matches(record, name, value, call)
            for name, value in filters.items()
        )

    return matches


def is_member(account: Account, resource: Resource, key: Key, principal: str) -> bool:
    """Return whether a principal is a member of a resource or of one that contains it."""
    return any(
        account.table(f"{each.kind}Member").record((*key[: len(each.labels)], principal))
        is not None
        for each in (*resource.outer, resource)
    )


def _matches(record: Record, name: str, value: Any, call: Call) -> bool:
    if name == "ids":
        return record.get("id") in value
    if name == _OWNER:  # the caller owns all resources
        return bool(value == ACCOUNT_ID)
    if name == "resourceOwner":  # no other account shares resources
        return bool(value == "SELF")
    if name in {"createdAfter", "createdBefore"}:
        moment = creation_time(record)
        return moment is not None and (moment > value if name == "createdAfter" else moment < value)
    if name not in record:
        raise OperationNotEmulatedError(
            call.operation.service_model.service_name, f"{call.operation.name} by {name}"
        )
    return bool(record[name] == value)


def _update(resource: Resource, operation: OperationModel) -> Behaviour:
    shape = resource.got or resource.row
    known: Mapping[str, Any] = shape.members if shape is not None else {}

    def update(call: Call) -> Record:
        record = dict(require_resource(call.account, resource, call.params))
        changed: dict[str, Any] = {}
        for name, value in call.params.items():
            if name.endswith("ToAdd"):
                base = name.removesuffix("ToAdd")
                changed[base] = record[base] = [*record.get(base, ()), *value]
            elif name.endswith("ToRemove"):
                base = name.removesuffix("ToRemove")
                rest = [each for each in record.get(base, ()) if each not in value]
                changed[base] = record[base] = rest
            elif name in known and name not in resource.labels:
                changed[name] = value
        times = {"updatedAt": call.now, "updateTime": call.now, "updatedBy": CALLER}
        changed |= {name: value for name, value in times.items() if name in known}
        key = resource.key(call.params, _labels_in(operation, resource))
        call.account.update(resource.kind, key, **changed)
        return {**record, **changed}

    return update


def _delete(resource: Resource, operation: OperationModel) -> Behaviour:
    # A model without this error has an operation that succeeds, whether or not there is something.
    is_idempotent = "ResourceNotFoundException" not in error_names(operation)

    def delete(call: Call) -> Record:
        account = call.account
        key = resource.key(call.params, _labels_in(operation, resource))
        if is_idempotent and account.table(resource.kind).record(key) is None:
            return {}
        record = require_resource(account, resource, call.params)
        inside = list(_contents(account, resource, key))
        if inside and not call.params.get("force"):
            message = f"There is still {inside[0][0].partition('.')[2]} {inside[0][1][-1]} in it"
            raise conflict(_word(resource), key[-1], message, "RESOURCE_IN_USE")
        for kind, inner in inside:
            account.delete(kind, inner)
        account.delete(resource.kind, key)
        return {**record, "status": _deleting(operation)}

    return delete


def _contents(account: Account, resource: Resource, key: Key) -> Iterator[tuple[str, Key]]:
    for other in load_catalog(resource.service).resources.values():
        if resource in other.outer:
            for inner in account.table(other.kind):
                if inner[: len(key)] == key:
                    yield other.kind, inner


def _deleting(operation: OperationModel) -> str | None:
    output = operation.output_shape
    if output is None or "status" not in output.members:
        return None
    words = enum_values(output.members["status"])
    return next((word for word in words if word.startswith("DELET")), words[0])


def _batch_get(resource: Resource, find: _Find) -> Behaviour | None:
    """Return a behaviour that calls Get for each item; a failed item becomes one of `errors`."""
    operation = resource.operations["BatchGet"]
    get, found = find(f"Get{resource.noun}"), rows_member(operation)
    if get is None or found is None:
        return None
    member, one = found[0], resource.operations["Get"]

    def batch_get(call: Call) -> Record:
        rows, errors = [], []
        for ids in call.params["identifiers"]:
            single = Call(account=call.account, operation=one, params=ids, now=call.now)
            try:
                rows.append({**ids, **get(single)})
            except AwsError as error:
                errors.append({**ids, "code": error.code, "message": error.message})
        return {member: rows, "errors": errors}

    return batch_get


_READS: Mapping[str, Callable[[Resource, OperationModel], Behaviour | None]] = {
    "Get": _get,
    "List": _list,
}
_WRITES: Mapping[str, Callable[[Resource, OperationModel], Behaviour | None]] = {
    "Create": _create,
    "Put": _create,
    "Associate": _create,
    "Update": _update,
    "Delete": _delete,
    "Disassociate": _delete,
}


def _labels_in(operation: OperationModel, resource: Resource) -> tuple[str, ...]:
    """Return the params of an operation that name a resource: its labels, else the resource's."""
    labels = _path_labels(operation)
    return labels + resource.labels[len(labels) :]


def _path_labels(operation: OperationModel) -> tuple[str, ...]:
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return ()
    names = {
        member.serialization.get("name", name): name
        for name, member in shape.members.items()
        if member.serialization.get("location") == "uri"
    }
    path: str = operation.http["requestUri"]
    found = sorted((path.index(f"{{{wire}"), name) for wire, name in names.items())
    return tuple(name for _, name in found)


def _require_outer(account: Account, resource: Resource, key: Key) -> None:
    for outer in resource.outer:
        outer_key = key[: len(outer.labels)]
        if account.table(outer.kind).record(outer_key) is None:
            raise not_found(_word(outer), outer_key[-1])


def _require_linked(account: Account, resource: Resource, ids: Mapping[str, str]) -> None:
    """Check that the resources that a link connects exist; a link has several ids of its own."""
    size = resource.scope_size
    scope, linked = resource.labels[:size], resource.labels[size:]
    for label in linked if len(linked) > 1 else ():
        for other in load_catalog(resource.service).resources.values():
            key = other.key(ids) if other.labels == (*scope, label) else None
            if key and account.table(other.kind).record(key) is None:
                raise not_found(_word(other), key[-1])


def _word(resource: Resource) -> str:
    """Return the resource type in errors."""
    return resource.noun[0].lower() + resource.noun[1:]
