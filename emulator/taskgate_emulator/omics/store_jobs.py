"""The jobs of HealthOmics' stores: imports, exports and activations.

A job is SUBMITTED, IN_PROGRESS, and then has a final status. Imports copy objects of S3 to read
sets and references, and exports copy read sets to S3; a source without object fails. Variants and
annotations are not parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import md5
from typing import Any

from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.derived import FIRST_VERSION, new_id
from taskgate_emulator.core.errors import conflict, not_found
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.core.timeline import Change
from taskgate_emulator.omics.behaviour import OPERATIONS

__all__ = ["FILE", "READ_SET", "REFERENCE", "split_uri"]

READ_SET, REFERENCE, FILE = "omics.ReadSet", "omics.Reference", "omics.StoredFile"
"""The kinds of rows; the key of a file is that of its read set or reference, and its name."""

_START_SECONDS, _END_SECONDS = 5.0, 30.0
_ACTIVE = frozenset({"SUBMITTED", "IN_PROGRESS"})
_ITEM_ENDS = {True: "FINISHED", False: "FAILED"}
_MESSAGE = "The object does not exist"
_PART_BYTES = 100 * 1024**2
"""AWS's user guide, "Direct upload to a sequence store": the size of a part."""

_Process = Callable[[Account, Key, Record, dict[str, Any]], bool]
"""Processes a source of a job and adds members to it; returns whether it succeeded."""


def _import_read_set(account: Account, job: Key, _record: Record, source: dict[str, Any]) -> bool:
    files = {
        word.upper(): content
        for word, uri in source["sourceFiles"].items()
        if (content := _read(account, uri)) is not None
    }
    if len(files) < len(source["sourceFiles"]):
        return False
    source["readSetId"] = _new_id(account)
    key = (job[0], source["readSetId"])
    optional = ("subjectId", "sampleId", "name", "description", "referenceArn")
    information = {"generatedFrom": source["generatedFrom"]} if "generatedFrom" in source else None
    kind = source["sourceFileType"]
    read_set = {
        **{name: source[name] for name in optional if name in source},
        "id": key[-1],
        "arn": account.arn("omics", f"sequenceStore/{key[0]}/readSet/{key[1]}"),
        "sequenceStoreId": key[0],
        "status": "ACTIVE",
        "fileType": kind,
        "sequenceInformation": information,
        "creationTime": account.now,
        "creationType": "IMPORT",
        "creationJobId": job[-1],
        "etag": {
            "algorithm": f"{'BAM' if kind == 'UBAM' else kind}_MD5up",
            **{name.lower(): _digest(content) for name, content in files.items()},
        },
        "files": {name.lower(): _file(content) for name, content in files.items()},
        "tags": source.get("tags", {}),
    }
    _store(account, READ_SET, key, read_set, files, source["sourceFiles"])
    return True


def _import_reference(account: Account, job: Key, _record: Record, source: dict[str, Any]) -> bool:
    content = _read(account, source["sourceFile"])
    if content is None:
        return False
    source["referenceId"] = _new_id(account)
    key = (job[0], source["referenceId"])
    reference = {
        "id": key[-1],
        "arn": account.arn("omics", f"referenceStore/{key[0]}/reference/{key[1]}"),
        "referenceStoreId": key[0],
        "md5": _digest(content),
        "status": "ACTIVE",
        "name": source["name"],
        "description": source.get("description"),
        "creationTime": account.now,
        "updateTime": account.now,
        "creationType": "IMPORT",
        "creationJobId": job[-1],
        "files": {"source": _file(content)},
        "tags": source.get("tags", {}),
    }
    _store(account, REFERENCE, key, reference, {"SOURCE": content}, {})
    return True


def _export_read_set(account: Account, job: Key, record: Record, source: dict[str, Any]) -> bool:
    key = (job[0], source["id"])
    if account.objects is None or account.table(READ_SET).record(key) is None:
        return False
    bucket, prefix = split_uri(record["destination"])
    for _, file in account.table(FILE).records(*key):
        where = "/".join(part for part in (prefix.rstrip("/"), key[1], file["name"]) if part)
        if not account.objects.write_object(bucket, where, file["content"]):
            return False
    return True


def _activate(account: Account, job: Key, _record: Record, source: dict[str, Any]) -> bool:
    return account.table(READ_SET).record((job[0], source["readSetId"])) is not None


def _import_rows(account: Account, _job: Key, _record: Record, source: dict[str, Any]) -> bool:
    return _read(account, source["source"]) is not None


_JOBS: Mapping[str, tuple[str, str, str, _Process]] = {
    "ReadSetImportJob": ("sources", "status", "NOT_STARTED", _import_read_set),
    "ReferenceImportJob": ("sources", "status", "NOT_STARTED", _import_reference),
    "ReadSetExportJob": ("readSets", "status", "NOT_STARTED", _export_read_set),
    "ReadSetActivationJob": ("sources", "status", "NOT_STARTED", _activate),
    "AnnotationImportJob": ("items", "jobStatus", "SUBMITTED", _import_rows),
    "VariantImportJob": ("items", "jobStatus", "SUBMITTED", _import_rows),
}
"""By kind of job: its member with the sources, their status, its first value, and what is done."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _start(noun: str) -> Callable[[Call], Record]:
    member, status, first, _ = _JOBS[noun]
    resource = load_catalog("omics").resources[noun]
    named = resource.operations["Get"].input_shape
    if named is None:
        raise ValueError(f"Get{noun} names no job")
    shape = named.members[resource.labels[-1]]

    def start(call: Call) -> Record:
        account, params = call.account, call.params
        identity = new_id(shape, noun, account.random)
        record: dict[str, Any] = {
            **{name: value for name, value in params.items() if name != "clientToken"},
            "id": identity,
            "jobId": identity,
            "status": "SUBMITTED",
            "creationTime": account.now,
        }
        sources = params.get("sources") or params["items"]
        if member == "readSets":
            sources = [{"id": source["readSetId"]} for source in sources]
        record[member] = [{**source, status: first} for source in sources]
        if "destinationName" in params:
            record |= _members_of_store(account, noun, params)
        else:
            store = params[resource.labels[0]]
            kind = f"omics.{resource.labels[0][0].upper()}{resource.labels[0][1:-2]}"
            if account.table(kind).record((store,)) is None:
                raise not_found(resource.labels[0].removesuffix("Id"), store)
        key = resource.key({**record, resource.labels[-1]: identity})
        account.put(resource.kind, key, record, _plan(account, noun))
        return record

    return start


def _plan(account: Account, noun: str) -> tuple[Change, ...]:
    def at(seconds: float) -> datetime:
        return account.now + timedelta(seconds=seconds / account.speed)

    begun = {"status": "IN_PROGRESS", "updateTime": at(_START_SECONDS)}
    return (Change(at(_START_SECONDS), begun), Change(at(_END_SECONDS), {}, f"omics.{noun}.end"))


def _members_of_store(account: Account, noun: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model requires of an import job of a variant or annotation store."""
    kind = "omics.VariantStore" if noun == "VariantImportJob" else "omics.AnnotationStore"
    store = params["destinationName"]
    if account.table(kind).record((store,)) is None:
        raise not_found(kind.partition(".")[2], store)
    versions = account.table("omics.AnnotationStoreVersion").ids(store)
    return {
        "storeName": store,  # what the filter of the List operation compares
        "versionName": params.get("versionName", versions[-1] if versions else FIRST_VERSION),
        "statusMessage": "",
        "updateTime": account.now,
        "completionTime": account.now,
        "runLeftNormalization": params.get("runLeftNormalization", False),
        "formatOptions": params.get("formatOptions", {"vcfOptions": {}}),
    }


def _end(noun: str) -> Callable[[Account, Key, datetime], None]:
    member, status, _, process = _JOBS[noun]
    kind = f"omics.{noun}"

    def end(account: Account, key: Key, at: datetime) -> None:
        record = account.table(kind).record(key)
        if record is None or record["status"] not in _ACTIVE:
            return
        sources = [dict(source) for source in record[member]]
        outcomes = [process(account, key, record, source) for source in sources]
        for source, done in zip(sources, outcomes, strict=True):
            source[status] = _ITEM_ENDS[done] if status == "status" else _job_status([done])
            if not done:
                source["statusMessage"] = _MESSAGE
        ended = {member: sources, "status": _job_status(outcomes), "completionTime": at}
        account.put(kind, key, {**record, **ended, "updateTime": at})

    return end


def _job_status(outcomes: list[bool]) -> str:
    if all(outcomes):
        return "COMPLETED"
    return "COMPLETED_WITH_FAILURES" if any(outcomes) else "FAILED"


def _cancel(noun: str) -> Callable[[Call], Record]:
    kind = f"omics.{noun}"

    def cancel(call: Call) -> Record:
        account, identity = call.account, call.params["jobId"]
        record = account.table(kind).record((identity,))
        if record is None:
            raise not_found("job", identity)
        if record["status"] not in _ACTIVE:
            raise conflict("job", identity, f"The job is {record['status']} already")
        account.put(kind, (identity,), {**record, "status": "CANCELLED", "updateTime": call.now})
        return {}

    return cancel


for _noun in _JOBS:
    OPERATIONS.register(f"Start{_noun}")(_start(_noun))
    OPERATIONS.on_timer(f"omics.{_noun}.end")(_end(_noun))
    if not _noun.startswith("Re"):
        OPERATIONS.register(f"Cancel{_noun}")(_cancel(_noun))


def _new_id(account: Account) -> str:
    return str(account.random.randrange(10**9, 10**10))


def _read(account: Account, uri: str) -> bytes | None:
    return account.objects.read_object(*split_uri(uri)) if account.objects is not None else None


def _digest(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def _file(content: bytes) -> dict[str, int]:
    parts = max(1, -(-len(content) // _PART_BYTES))
    return {"totalParts": parts, "partSize": _PART_BYTES, "contentLength": len(content)}


def _store(
    account: Account,
    kind: str,
    key: Key,
    record: dict[str, Any],
    files: Mapping[str, bytes],
    uris: Mapping[str, str],
) -> None:
    account.put(kind, key, {name: value for name, value in record.items() if value is not None})
    for name, content in files.items():
        original = uris.get(name.lower(), name).rpartition("/")[2]
        account.put(FILE, (*key, name), {"name": original, "content": content})
