"""Members of a new resource that its creator does not set: ids, ARNs, times, statuses, defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from taskgate_emulator.core.catalog import Resource
from taskgate_emulator.core.patterns import compile_pattern
from taskgate_emulator.core.state import ACCOUNT_ID, CALLER, Account, Key
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    Shape,
    StructureShape,
    enum_values,
    is_union,
)

__all__ = [
    "FIRST_VERSION",
    "UnderivedError",
    "build_arn",
    "complete_record",
    "is_derivable",
    "new_id",
    "to_kebab_case",
]

FIRST_VERSION = "version_1"
"""The version of an annotation store that is created without; AWS publishes no default."""

_READY = ("ACTIVE", "READY", "IDLE", "CREATED", "AVAILABLE", "ENABLED", "NONE")
"""Statuses of a usable resource, the preferred ones first."""

_STATUS = frozenset({"status", "state", "lifecycleStatus"})
_CREATED = frozenset({"createdAt", "creationTime"})
_UPDATED = frozenset({"updatedAt", "updateTime"})
_OWN_ARN = frozenset({"arn", "storeArn", "versionArn"})
_ALWAYS_PRESENT = _STATUS | _CREATED | _OWN_ARN | {"createdBy", "id", "uuid", "tags", "storeId"}
"""Members that are set even where the model does not require them."""


class UnderivedError(Exception):
    """The value of a required member cannot be derived."""


def complete_record(
    resource: Resource, record: dict[str, Any], params: Mapping[str, Any], account: Account
) -> None:
    """Set all members that responses require, and the usual optional ones, in a new record.

    Raises:
        UnderivedError: a required member cannot be derived.
    """
    for shape in _response_shapes(resource):
        for name, member in shape.members.items():
            if record.get(name) is not None:
                continue
            if (
                name in shape.required_members
                or name in _ALWAYS_PRESENT
                or _custom_value(resource, name)
            ):
                record[name] = _derive(resource, name, member, record, params, account)


def is_derivable(resource: Resource) -> bool:
    """Return whether a record can be completed from the params of its Create operation."""
    create = resource.operations.get("Create") or resource.operations.get("Put")
    create = create or resource.operations.get("Associate")
    if create is None or create.input_shape is None or not _response_shapes(resource):
        return False
    given = {*create.input_shape.members, *resource.labels}
    return all(
        name in given or _custom_value(resource, name) or _is_known(name, shape.members[name])
        for shape in _response_shapes(resource)
        for name in shape.required_members
    )


def new_id(shape: Shape, noun: str, random: Random) -> str:
    """Generate an id that the model's pattern allows, preferably in the service's usual form."""
    hexadecimal = f"{random.getrandbits(128):032x}"
    candidates = [
        f"{noun.lower()}-{hexadecimal}",
        f"{to_kebab_case(noun).replace('-', '')}-{hexadecimal}",
        f"{to_kebab_case(noun).split('-')[0]}-{hexadecimal}",
        *(f"{prefix}-{hexadecimal}" for prefix in _prefixes(shape)),
        str(random.randrange(10**9, 10**10)),
        str(random.randrange(10**6, 10**7)),
        str(UUID(int=random.getrandbits(128), version=4)),
        hexadecimal,
    ]
    pattern = shape.metadata.get("pattern")
    if pattern is None:
        return hexadecimal
    matches = compile_pattern(pattern)
    for candidate in candidates:
        if matches(candidate):
            return candidate
    raise UnderivedError(shape.name)


def build_arn(resource: Resource, key: Key, account: Account) -> str:
    """Return the ARN of a resource."""
    parts = []
    chain = (*resource.outer, resource)
    for position, part in enumerate(chain):
        word = part.noun
        if position:
            word = word.removeprefix(chain[position - 1].noun)
        name = to_kebab_case(word) if resource.service == "deadline" else word[0].lower() + word[1:]
        parts.append(f"{name}/{key[len(part.labels) - 1 if part is not resource else -1]}")
    path = "/".join(parts)
    return account.arn(resource.service, path)


def to_kebab_case(noun: str) -> str:
    """Convert `LicenseEndpoint` to `license-endpoint`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", noun).lower()


def _response_shapes(resource: Resource) -> list[StructureShape]:
    create = resource.operations.get("Create")
    created = create.output_shape if create else None
    return [shape for shape in (created, resource.got, resource.row) if shape is not None]


def _derive(
    resource: Resource,
    name: str,
    shape: Shape,
    record: Mapping[str, Any],
    params: Mapping[str, Any],
    account: Account,
) -> Any:
    special = _custom_value(resource, name)
    if special:
        return special(record, params, account)
    if name in _CREATED | _UPDATED:
        return account.now
    if name == "createdBy":
        return CALLER
    if name in _OWN_ARN:
        return build_arn(resource, resource.key(record), account)
    if name in {"id", "storeId", "uuid"}:
        return new_id(shape, resource.noun, account.random)
    if not _is_known(name, shape):
        raise UnderivedError(name)
    return _zero(shape)


def _is_known(name: str, shape: Shape) -> bool:
    if name in _ALWAYS_PRESENT or name in _UPDATED:
        return True
    if isinstance(shape, StructureShape):
        return not is_union(shape) and all(
            _is_known(inner, shape.members[inner]) for inner in shape.required_members
        )
    if isinstance(shape, (ListShape, MapShape)):
        return True
    if shape.type_name == "string":
        return bool(enum_values(shape)) or name in {"description", "statusMessage"}
    return shape.type_name != "timestamp"


def _zero(shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return {name: _zero(shape.members[name]) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return []
    if isinstance(shape, MapShape):
        return {}
    words = enum_values(shape)
    if words:
        return next((word for word in _READY if word in words), words[0])
    zeros: Mapping[str, Any] = {"string": "", "boolean": False, "float": 0.0, "double": 0.0}
    return zeros.get(shape.type_name, 0)


def _prefixes(shape: Shape) -> list[str]:
    found = re.match(r"\^?([a-z]+)-", shape.metadata.get("pattern", ""))
    return [found[1]] if found else []


def _custom_value(resource: Resource, name: str) -> Any:
    return _CUSTOM_VALUES.get((resource.kind, name))


_CUSTOM_VALUES: Mapping[tuple[str, str], Any] = {
    # The documented default.
    ("deadline.Farm", "costScaleFactor"): lambda _record, _params, _account: 1.0,
    ("deadline.Monitor", "url"): lambda record, _params, account: (
        f"https://{record['subdomain']}.{account.region}.deadlinecloud.amazonaws.com/"
    ),
    ("deadline.Monitor", "identityCenterApplicationArn"): lambda record, _params, _account: (
        f"arn:aws:sso::{ACCOUNT_ID}:application/"
        f"{record['identityCenterInstanceArn'].rpartition('/')[2]}/apl-{record['monitorId'][-16:]}"
    ),
    # Its behaviour reads the name from the template.
    ("deadline.QueueEnvironment", "name"): lambda record, _params, _account: record["name"],
    ("omics.AnnotationStore", "versionName"): lambda _record, _params, _account: FIRST_VERSION,
    ("omics.RunCache", "cacheS3Uri"): lambda _record, params, _account: params["cacheS3Location"],
    ("omics.Share", "status"): lambda _record, _params, _account: "PENDING",
    ("omics.Workflow", "type"): lambda _record, _params, _account: "PRIVATE",
    ("omics.WorkflowVersion", "type"): lambda _record, _params, _account: "PRIVATE",
}
"""Members that no general rule covers."""


def creation_time(record: Mapping[str, Any]) -> datetime | None:
    """Return when a record was created."""
    for name in _CREATED:
        if name in record:
            moment: datetime = record[name]
            return moment
    return None
