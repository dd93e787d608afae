"""The public keys that verify tokens: a JSON Web Key Set (RFC 7517).

FileKeys      from a file, which is reloaded when it changes
FetchedKeys   from an address, fetched regularly and when a token names an unknown key
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import jwt

from taskgate_server import errors
from taskgate_server.auth.child_process import ChildError, run_module
from taskgate_server.reloading import RejectedError, Reloading, ReloadingFile
from taskgate_server.telemetry.logs import LOG

NAME: Final = "jwt_keys"
"""For logs, metrics and health."""

CHILD: Final = "taskgate_server.auth.jwks_child"

REFRESH_SECONDS: Final = 300.0
"""Interval between two fetches. A withdrawn key remains trusted for this time."""

RETRY_SECONDS: Final = 10.0
"""Interval between two fetches after a failure, and the minimum before a fetch for an unknown key:
tokens with invented keys must not make this server flood the issuer."""

FETCH_SECONDS: Final = 5.0
"""Limit for a whole fetch, from the start of the child process to the last byte."""

MAX_KEYS: Final = 1000

Keys: TypeAlias = Mapping[str | None, jwt.PyJWK]


class KeySource(Protocol):
    """Finds keys by id."""

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key with that id; None if the issuer has no such key.

        Raises:
            errors.TaskgateError: UNAVAILABLE, no keys have been loaded yet.
        """


def read_keys(data: bytes) -> Keys:
    """Return the public keys of a set by key id; a single key is also there under None.

    Keys that this server cannot use are skipped, as RFC 7517 section 5 recommends: unknown types,
    malformed keys, and keys for another purpose than to verify signatures.

    Raises:
        RejectedError: the data is no key set, or has no key that can be used.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise RejectedError("is not a JSON Web Key Set: it is not JSON") from None
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise RejectedError("is not a JSON Web Key Set: it has no list `keys`")
    if len(entries) > MAX_KEYS:
        raise RejectedError(f"has more than {MAX_KEYS} keys")
    usable = [key for entry in entries if (key := _usable_key(entry)) is not None]
    if not usable:
        raise RejectedError("has no public key that verifies signatures")
    public: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in usable}
    return public | ({None: usable[0]} if len(public) == 1 else {})


def _usable_key(entry: Any) -> jwt.PyJWK | None:
    """Return an asymmetric key that may verify signatures; None for anything else."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str | None):
        return None
    # RFC 7517 sections 4.2 and 4.3.
    operations = entry.get("key_ops")
    verifies = operations is None or (isinstance(operations, list) and "verify" in operations)
    if entry.get("use") not in (None, "sig") or not verifies:
        return None
    try:
        key = jwt.PyJWK(entry)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  # pyo3's PanicException is no Exception
        return None
    # A symmetric key in a public set would let anyone sign tokens.
    return None if key.key_type == "oct" else key


def fetch(address: str, token_file: Path | None = None, ca_file: Path | None = None) -> bytes:
    """Return the response to a GET request. Blocks for up to `FETCH_SECONDS`.

    Args:
        address: `https://`, or `http://` on this machine.
        token_file: has a bearer token, which is sent to this address but not after a redirect.
        ca_file: certificate authorities in PEM, instead of those of the system.

    Raises:
        RejectedError: there is no valid response; the text quotes nothing from it.
        OSError: the child process cannot be started.
    """
    request = {
        "address": address,
        "token_file": str(token_file or ""),
        "ca_file": str(ca_file or ""),
    }
    try:
        outcome: dict[str, str] = json.loads(
            run_module(CHILD, json.dumps(request).encode(), seconds=FETCH_SECONDS)
        )
    except ChildError as error:
        raise RejectedError(f"the fetch {error}") from None
    if "fault" in outcome:
        raise RejectedError(outcome["fault"])
    return base64.b64decode(outcome["data"])


class FileKeys(ReloadingFile[Keys]):
    """Keys from a file.

    Raises:
        SettingsError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(NAME, [path], lambda contents: read_keys(contents[0]))

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """See `KeySource`."""
        return self.value.get(key_id)


class FetchedKeys(Reloading):
    """Keys from an address.

    A caller whose key is known never waits. There is one fetch at a time, which all callers with
    unknown keys share.

    Args:
        address: for the log, and for `load`.
        load: returns the key set at an address; may block. Any exception is a failure.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        address: str,
        load: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(NAME, clock)
        self._address = address
        self._load = load
        self._keys: Keys = {}
        self._data = b""
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the latest fetch was recent and succeeded."""
        is_recent = self.active_seconds <= REFRESH_SECONDS + 2 * RETRY_SECONDS
        return bool(self._keys) and not self._fault and is_recent

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """See `KeySource`."""
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if self._fetching is not None or self._clock() - self._tried_at >= RETRY_SECONDS:
            await self.refresh()
        if not self._keys:
            raise errors.OwnError(
                errors.Reason.KEYS_UNAVAILABLE,
                "this server cannot fetch the keys of the token issuer: retry",
                details=[errors.retry_info(5)],
            )
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is in progress. Never raises."""
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._fetch())
        # The cancellation of one call must not cancel the fetch that others wait for.
        await asyncio.wait({self._fetching})

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Fetch the keys regularly until cancelled."""
        try:
            while True:
                await self.refresh()
                await sleep(RETRY_SECONDS if self._fault else REFRESH_SECONDS)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._threads, self._attempt)
        finally:
            self._fetching = None
        if isinstance(loaded, str):
            # The previous keys stay active: callers are authenticated while the issuer is down.
            self.rejected += 1
            if loaded != self._fault:
                fields = {"place": self._address, "fault": loaded}
                LOG.error("keys cannot be fetched", extra=fields)
            self._fault = loaded
            return
        self._fault = ""
        self._active_since = self._clock()
        self.changes += loaded[0] != self._data
        self._data, self._keys = loaded

    def _attempt(self) -> tuple[bytes, Keys] | str:
        """Return the key set and its keys, or what is wrong with them. Runs in a thread."""
        try:
            data = self._load(self._address)
            return data, read_keys(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except RejectedError as error:
            return error.summary
        except BaseException as error:  # noqa: BLE001  # pyo3's PanicException is no Exception
            return type(error).__name__
