"""Makes a resource of any kind from the model, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore import xform_name

from taskgate_emulator.core.catalog import Resource, load_catalog
from taskgate_emulator.core.patterns import compile_pattern
from taskgate_emulator.seeds.ids import FARM_ID, JOB_ID, QUEUE_ID
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    Shape,
    StructureShape,
    enum_values,
    is_document,
    is_union,
)

WORDS = [
    "word",
    "Name",
    "name-of-it",
    "arn:aws:iam::111122223333:role/Role",
    "arn:aws:kms:us-west-2:111122223333:key/8c5f0b2a-41d3-4e6f-9a70-5b1c2d3e4f60",
    "arn:aws:sso:::instance/ssoins-1234567890abcdef",
    "arn:aws:omics:us-west-2:111122223333:referenceStore/1234567890/reference/1234567890",
    "arn:aws:omics:us-west-2:111122223333:annotationStore/name",
    "arn:aws:s3:us-west-2:111122223333:accesspoint/name",
    "s3://bucket/prefix",
    "8c5f0b2a-41d3-4e6f-9a70-5b1c2d3e4f60",
    "farm-" + "1" * 32,
    "queue-" + "1" * 32,
    "fleet-" + "1" * 32,
    "limit-" + "1" * 32,
    "job-" + "1" * 32,
    "subnet-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "vpc-0123456789abcdef0",
    "111122223333",
    "1234567",
    "us-west-2",
    "amount.name",
    "1.0.0",
]
TEMPLATE = """
{
  "specificationVersion": "environment-2023-09",
  "environment": {"name": "Maya", "variables": {"A": "B"}}
}
"""


def valid(shape: Shape, name: str = "", *, whole: bool = False) -> Any:
    """Return a value that satisfies the model."""
    if isinstance(shape, ListShape):
        return [valid(shape.member, whole=whole)] * max(1, shape.metadata.get("min", 1))
    if isinstance(shape, MapShape):
        return {valid(shape.key): valid(shape.value)}
    if is_document(shape):
        return {"any": "JSON"}
    if isinstance(shape, StructureShape):
        names = list(shape.members)[:1] if is_union(shape) else list(shape.required_members)
        return {each: valid(shape.members[each], each, whole=whole) for each in names}
    if shape.type_name == "string":
        return text(shape, name)
    low = shape.metadata.get("min", 1)
    values: Mapping[str, Any] = {"boolean": True, "timestamp": 1_700_000_000, "blob": b"zip"}
    return values.get(shape.type_name, max(low, 1))


def text(shape: Shape, name: str) -> str:
    if name == "template":
        return TEMPLATE
    words = enum_values(shape)
    if words:
        return words[0]
    pattern = shape.metadata.get("pattern")
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 10_000)
    matches = compile_pattern(pattern) if pattern else lambda _: True
    for word in WORDS:
        if low <= len(word) <= high and matches(word):
            return word
    raise AssertionError(f"no word for {shape.name}: {pattern}")


class Maker:
    """Creates a resource, and first its parents and linked resources."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def make(self, resource: Resource) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the params that name the new resource, and the response of its creation."""
        if resource.kind == "deadline.Job":  # one that needs a template; the demo has it
            return {"farmId": FARM_ID, "queueId": QUEUE_ID, "jobId": JOB_ID}, {}
        ids: dict[str, Any] = {}
        if resource.outer:
            outer, response = self.make(resource.outer[-1])
            ids = dict(zip(resource.labels, outer.values(), strict=False))
            del response
        for label in resource.labels[resource.scope_size :]:
            linked = load_catalog(resource.service).resources.get(label[0].upper() + label[1:-2])
            if linked is not None and linked is not resource:
                ids[label] = self.make_in(linked, ids)
        operation = next(
            resource.operations[verb]
            for verb in ("Create", "Put", "Associate")
            if verb in resource.operations
        )
        shape = operation.input_shape
        assert shape is not None
        params = {**valid(shape), **{name: ids[name] for name in ids if name in shape.members}}
        params |= {
            name: f"{resource.noun}One" if name == "displayName" else valid(shape.members[name])
            for name in ("displayName", "description", "reference", "name", "tags", "versionName")
            if name in shape.members and name not in params and name not in resource.labels[:-1]
        }
        params.pop("clientToken", None)
        if "definitionZip" in shape.members:
            params["definitionZip"] = b"no zip, so the workflow will be FAILED"
        response = self.call(operation.name, **params)
        for label in resource.labels:
            ids.setdefault(label, response.get(label) or params.get(label))
        return {label: ids[label] for label in resource.labels}, response

    def make_in(self, resource: Resource, ids: Mapping[str, Any]) -> str:
        operation = resource.operations["Create"]
        shape = operation.input_shape
        assert shape is not None
        params = {**valid(shape), **{name: ids[name] for name in ids if name in shape.members}}
        params.pop("clientToken", None)
        made: str = self.call(operation.name, **params)[resource.labels[-1]]
        return made

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        response: dict[str, Any] = getattr(self.client, xform_name(operation))(**params)
        return response
