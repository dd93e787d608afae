"""The bodies of requests that upload a payload, which boto3 signs and passes on as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
HASH_HEADER: Final = "X-Amz-Content-SHA256"


class UploadBody:
    """A body of known length whose bytes are read while they are sent.

    Args:
        size: bytes.
        chunks: returns its bytes, each time from the beginning.
        sha256: their hash in hexadecimal digits; None if the operation signs no payload.
    """

    def __init__(
        self, size: int, chunks: Callable[[], AsyncIterator[bytes]], sha256: str | None = None
    ) -> None:
        self._size = size
        self._chunks = chunks
        self.sha256 = sha256

    def __len__(self) -> int:
        """Return the Content-Length, as botocore finds it."""
        return self._size

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the bytes, as aiohttp reads them."""
        return self._chunks()


def set_hash(request: Any, **_: object) -> None:
    """Set the hash of an upload, for which botocore's signer would read it (hook `before-sign`).

    botocore signs an unsigned payload nevertheless if the connection is not encrypted.
    """
    body = request.data
    if not isinstance(body, UploadBody):
        return
    if body.sha256 is not None:
        request.headers[HASH_HEADER] = body.sha256
    elif request.url.startswith("http:"):
        request.headers[HASH_HEADER] = UNSIGNED
