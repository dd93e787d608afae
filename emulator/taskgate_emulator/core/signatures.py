"""What a request is signed for: its region and service, whoever signed it.

A signature of version 4 has them in its credential scope, in the Authorization header or in the
query of a presigned URL. The emulator accepts any credentials, and does not verify signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

__all__ = ["Scope", "signed_scope"]

_SCOPE = re.compile(
    r"Credential=[^/,&\s]+/\d{8}/(?P<region>[^/,\s]+)/(?P<service>[a-z0-9-]+)/aws4_request"
)
_QUERY = "X-Amz-Credential="
_VERSION_2 = "AWSAccessKeyId="
"""In the query of a URL of S3 that is presigned with version 2, boto3's default for S3."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a signature."""

    region: str | None
    service: str


def signed_scope(headers: Mapping[str, str], target: str) -> Scope | None:
    """Return the scope of a request's signature, or None if it has none.

    Args:
        headers: of the request; names are case-insensitive.
        target: path and query, still encoded.
    """
    if _VERSION_2 in target:
        return Scope(None, "s3")
    signature = headers.get("Authorization", "")
    if not signature and _QUERY in target:
        signature = unquote(target[target.index(_QUERY) :])
    found = _SCOPE.search(signature)
    return Scope(found["region"], found["service"]) if found else None
