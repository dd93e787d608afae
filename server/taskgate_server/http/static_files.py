"""The files of the web console, from memory.

Only files that were found in the folder are served, each under its own path, so that no path can
lead out of it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

PACKAGE: Final = "taskgate_server"
FOLDER: Final = "console"
INDEX: Final = "index.html"

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Files with other suffixes are not served."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: nothing from other origins, and nothing inline."""

SECURITY_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is served."""

    content: bytes
    content_type: str
    etag: str
    compressed: bytes | None = None
    """The content in gzip's format, for clients that accept it."""

    @classmethod
    def of(cls, content: bytes, content_type: str) -> StaticFile:
        """Return a file with its ETag, which is weak: compressed content has the same one."""
        return cls(content, content_type, f'W/"{hashlib.sha256(content).hexdigest()[:32]}"')


def load_console() -> dict[str, StaticFile]:
    """Return the files of the console by path; empty if this installation has none."""
    folder = files(PACKAGE) / FOLDER
    found = dict(_files_in(folder, "/")) if folder.is_dir() else {}
    if f"/{INDEX}" in found:
        found["/"] = found[f"/{INDEX}"]
    return found


def _files_in(folder: Traversable, prefix: str) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files_in(entry, f"{path}/")
            continue
        content_type = CONTENT_TYPES.get(path[path.rfind(".") :])
        if content_type is not None:
            file = StaticFile.of(entry.read_bytes(), content_type)
            yield path, replace(file, compressed=gzip.compress(file.content, mtime=0))
