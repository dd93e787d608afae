"""Tags of resources, by ARN."""

from __future__ import annotations

from typing import Any

from taskgate_emulator.core.catalog import Catalog, Resource, load_catalog
from taskgate_emulator.core.derived import to_kebab_case
from taskgate_emulator.core.errors import AwsError, not_found
from taskgate_emulator.core.operations import Behaviour, Call
from taskgate_emulator.core.state import Account, Key, Record

__all__ = ["TAGGING"]

_MAX_TAGS = 50
"""Tags per resource: https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html"""


def _tag(call: Call) -> Record:
    tags = {**_tags(call), **call.params.get("tags", {})}
    if len(tags) > _MAX_TAGS:
        raise AwsError("ValidationException", f"More than {_MAX_TAGS} tags", {"reason": "OTHER"})
    _write(call, tags)
    return {}


def _untag(call: Call) -> Record:
    gone = set(call.params["tagKeys"])
    _write(call, {name: value for name, value in _tags(call).items() if name not in gone})
    return {}


def _list_tags(call: Call) -> Record:
    return {"tags": _tags(call)}


TAGGING: dict[str, Behaviour] = {
    "TagResource": _tag,
    "UntagResource": _untag,
    "ListTagsForResource": _list_tags,
}
"""By operation; the names are the same in both services."""


def _tags(call: Call) -> dict[str, str]:
    resource, key = _find(call)
    record = call.account.table(resource.kind).record(key) or {}
    return dict(record.get(_member(resource)) or {})


def _write(call: Call, tags: dict[str, str]) -> None:
    resource, key = _find(call)
    changed: dict[str, Any] = {_member(resource): tags}
    call.account.update(resource.kind, key, **changed)


def _member(resource: Resource) -> str:
    """Return the member that has the tags; it is internal if responses do not include them."""
    shown = resource.got.members if resource.got is not None else ()
    return "tags" if "tags" in shown else "_tags"


def _find(call: Call) -> tuple[Resource, Key]:
    service = call.operation.service_model.service_name
    arn: str = call.params["resourceArn"]
    found = _parse(load_catalog(service), service, arn)
    if found is None or not _exists(call.account, *found):
        raise not_found("resource", arn)
    return found


def _parse(catalog: Catalog, service: str, arn: str) -> tuple[Resource, Key] | None:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] != service:  # noqa: PLR2004 the parts of every ARN
        return None
    words = parts[5].split("/")
    names, ids = words[::2], tuple(words[1::2])
    if len(names) != len(ids):
        return None
    last = _plain(names[-1])
    nested = _plain("".join(names[-2:]))
    for resource in catalog.resources.values():
        noun = _plain(to_kebab_case(resource.noun))
        # A batch is a `runBatch` in its path and in its ARN.
        path = _plain("".join(segment for segment in resource.template if segment != "{}"))
        if len(resource.labels) == len(ids) and {noun, path} & {last, nested}:
            return resource, ids
    return None


def _plain(word: str) -> str:
    return word.replace("-", "").lower()


def _exists(account: Account, resource: Resource, key: Key) -> bool:
    return account.table(resource.kind).record(key) is not None
