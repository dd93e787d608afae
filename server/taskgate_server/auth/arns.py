"""ARNs of an AWS service's own resources, as paths of the policy.

`arn:aws:deadline:us-west-2:111122223333:farm/f/queue/q` is Queue q in Farm f. Which words there are
follows from the routes of the service's operations, whose collections have the same names:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_deadline.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from taskgate_server.auth.identifiers import (
    RESOURCE,
    SERVICE,
    Path,
    ServiceIdentifiers,
    identifiers_of,
)

MAX_DEPTH: Final = 8
"""Resources in one ARN; those of AWS have at most three."""

_PARTS: Final = 6
"""`arn:partition:service:region:account:resource`."""


def parse_arn(arn: str, service: str) -> Path | None:
    """Return the path of the resource that an ARN names.

    What the service's routes do not explain is a `Resource` beneath what they do explain, so that a
    policy for a workflow also covers an unknown form of ARN for something in that workflow.

    Args:
        arn: as the caller sent it.
        service: botocore's name of the AWS service that gets it.

    Returns:
        The path; None for an ARN of another AWS service, and for what is no ARN.
    """
    parts = arn.split(":", _PARTS - 1)
    if len(parts) < _PARTS or parts[0].lower() != "arn" or parts[2].lower() != service:
        return None
    identifiers = identifiers_of(service)
    path: Path = ((SERVICE, service),)
    segments = re.split("[/:]", parts[5], maxsplit=2 * MAX_DEPTH)
    for word, key in zip(segments[::2], segments[1::2], strict=False):
        kind = _type(identifiers, path[-1][0], word)
        if not kind or not key or any(kind == above for above, _ in path):
            break
        path += ((kind, key),)
    is_whole = len(segments) == 2 * (len(path) - 1)
    return path if is_whole else (*path, (RESOURCE, arn))


def _type(identifiers: ServiceIdentifiers, parent: str, word: str) -> str:
    """The type that a word means beneath a parent, else anywhere: `task/8` names no run."""
    words = _words(identifiers.name)
    normal = _normal(word)
    return words.get((parent, normal)) or words.get(("", normal), "")


@cache
def _words(service: str) -> dict[tuple[str, str], str]:
    """The type of each word beneath each parent; beneath the empty parent, of each word."""
    identifiers = identifiers_of(service)
    found: dict[tuple[str, str], str] = {}
    for collection, kind in sorted(identifiers.collections):
        for word in _spellings(collection, kind):
            for parent in identifiers.parents[kind]:
                found.setdefault((parent, word), kind)
            found.setdefault(("", word), kind)
    return found


def _spellings(collection: str, kind: str) -> Iterator[str]:
    yield _normal(kind)
    yield _normal(collection)
    yield _normal(collection.removesuffix("s"))


def _normal(word: str) -> str:
    """`licenseendpoint` for `license-endpoint` and `LicenseEndpoint`."""
    return word.replace("-", "").replace("_", "").lower()
