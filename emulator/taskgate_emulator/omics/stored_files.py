"""Read sets and references of HealthOmics: their metadata, files and deletion.

Import jobs create them; see `store_jobs.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskgate_emulator.core.derived import creation_time
from taskgate_emulator.core.errors import AwsError, not_found
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.omics.behaviour import OPERATIONS
from taskgate_emulator.omics.store_jobs import FILE, READ_SET, REFERENCE

_STORES = {READ_SET: ("sequenceStore", "readSet"), REFERENCE: ("referenceStore", "reference")}


@OPERATIONS.register("GetReadSetMetadata")
def get_read_set_metadata(call: Call) -> Record:
    """Return a read set."""
    return _require(call, READ_SET)


@OPERATIONS.register("GetReferenceMetadata")
def get_reference_metadata(call: Call) -> Record:
    """Return a reference."""
    return _require(call, REFERENCE)


@OPERATIONS.register("ListReadSets")
def list_read_sets(call: Call) -> Record:
    """Return the read sets of a store."""
    return _list(call, "readSets", READ_SET)


@OPERATIONS.register("ListReferences")
def list_references(call: Call) -> Record:
    """Return the references of a store."""
    return _list(call, "references", REFERENCE)


@OPERATIONS.register("GetReadSet")
def get_read_set(call: Call) -> Record:
    """Return a part of a file of a read set."""
    return _part(call, READ_SET, "SOURCE1")


@OPERATIONS.register("GetReference")
def get_reference(call: Call) -> Record:
    """Return a part of a file of a reference."""
    return _part(call, REFERENCE, "SOURCE")


@OPERATIONS.register("DeleteReference")
def delete_reference(call: Call) -> Record:
    """Delete a reference."""
    _require(call, REFERENCE)
    _delete(call.account, REFERENCE, _key(call, REFERENCE))
    return {}


@OPERATIONS.register("BatchDeleteReadSet")
def batch_delete_read_set(call: Call) -> Record:
    """Delete read sets; one that does not exist becomes one of `errors`."""
    errors = []
    for identity in call.params["ids"]:
        key = (call.params["sequenceStoreId"], identity)
        if call.account.table(READ_SET).record(key) is None:
            error = not_found("readSet", identity)
            errors.append({"id": identity, "code": error.code, "message": error.message})
        else:
            _delete(call.account, READ_SET, key)
    return {"errors": errors}


@OPERATIONS.register("DeleteAnnotationStoreVersions")
def delete_annotation_store_versions(call: Call) -> Record:
    """Delete versions of an annotation store; one that does not exist becomes one of `errors`."""
    account, store, kind = call.account, call.params["name"], "omics.AnnotationStoreVersion"
    if account.table("omics.AnnotationStore").record((store,)) is None:
        raise not_found("annotationStore", store)
    errors = []
    for version in call.params["versions"]:
        if account.table(kind).record((store, version)) is None:
            message = not_found("annotationStoreVersion", version).message
            errors.append({"versionName": version, "message": message})
        account.delete(kind, (store, version))
    return {"errors": errors}


def _key(call: Call, kind: str) -> Key:
    return (call.params[f"{_STORES[kind][0]}Id"], call.params["id"])


def _require(call: Call, kind: str) -> Record:
    key = _key(call, kind)
    record = call.account.table(kind).record(key)
    if record is None:
        _require_store(call, kind)
        raise not_found(_STORES[kind][1], key[-1])
    return record


def _require_store(call: Call, kind: str) -> None:
    store = _STORES[kind][0]
    identity = call.params[f"{store}Id"]
    if call.account.table(f"omics.{store[0].upper()}{store[1:]}").record((identity,)) is None:
        raise not_found(store, identity)


def _list(call: Call, member: str, kind: str) -> Record:
    _require_store(call, kind)
    matches = _filter(call.params.get("filter") or {})
    scope = (call.params[f"{_STORES[kind][0]}Id"],)
    return list_rows(call, member, kind, scope, lambda _, row: row if matches(row) else None)


def _filter(wanted: Record) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        created = creation_time(record)
        information = record.get("sequenceInformation") or {}
        values: dict[str, Any] = {**information, **record}
        return all(
            created is not None and (created > value if name == "createdAfter" else created < value)
            if name in {"createdAfter", "createdBefore"}
            else values.get(name) == value
            for name, value in wanted.items()
        )

    return matches


def _part(call: Call, kind: str, default: str) -> Record:
    record = _require(call, kind)
    name = call.params.get("file", default)
    file = call.account.table(FILE).record((*_key(call, kind), name))
    if file is None:
        raise AwsError("ResourceNotFoundException", f"There is no file {name}")
    size = next(iter(record["files"].values()))["partSize"]
    start = (call.params["partNumber"] - 1) * size
    if start and start >= len(file["content"]):
        raise AwsError("RangeNotSatisfiableException", "There is no such part")
    return {"payload": file["content"][start : start + size]}


def _delete(account: Account, kind: str, key: Key) -> None:
    for name in account.table(FILE).ids(*key):
        account.delete(FILE, (*key, name))
    account.delete(kind, key)
