"""Fields of earlier contracts: what became of them, for the error of an old client's request.

The contract reserves the number and the name of every retired field, in the same order. A field
that replaces one has AWS's member name as its JSON name, and the old name with a version as its
own: `status_v2`.
"""

from __future__ import annotations

import re
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

from taskgate_server.aws import naming

_VERSION = re.compile(r"_v\d+$")


@cache
def retired_fields(descriptor: Descriptor) -> dict[int, tuple[str, str]]:
    """Return the name and the fate of each retired field of a message by its number."""
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    numbers = [each.start for each in proto.reserved_range]
    if len(numbers) != len(proto.reserved_name):  # a message that is written by hand
        return {}
    replacements = {naming.field_name(e.json_name): e.name for e in descriptor.fields}
    return {
        number: (name, _fate(name, replacements))
        for number, name in zip(numbers, proto.reserved_name, strict=True)
    }


def _fate(name: str, replacements: dict[str, str]) -> str:
    first = _VERSION.sub("", name)
    replacement = replacements.get(name) or replacements.get(first)
    # A member of AWS's may be called `status_v2`, too, beside `status`, which does not replace it.
    if replacement not in (None, first):
        return f"was replaced by {replacement}: set that instead"
    return "was removed: AWS's API no longer has it"
