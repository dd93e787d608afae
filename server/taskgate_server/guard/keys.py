"""The keys that tokens are signed with: a JSON Web Key Set (RFC 7517), in a file or on the web."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import jwt

from taskgate_server.telemetry import LOG

LIFESPAN_SECONDS = 300.0
"""How old keys from an address may be. A key that is withdrawn is trusted for so long."""

REFETCH_SECONDS = 10.0
"""The least time between two fetches for a key that is not there: tokens with made-up keys must not
make this server flood the issuer."""

FETCH_TIMEOUT_SECONDS = 5.0
MAX_BYTES = 1024 * 1024

Keys: TypeAlias = Mapping[str | None, jwt.PyJWK]
NO_KEYS: Final[Keys] = {}


class KeysError(Exception):
    """There are no keys to verify a token with."""


def read_keys(data: bytes) -> Keys:
    """The public keys of a set, by key id; a set of one key has it under None, too.

    Raises:
        ValueError: it is no key set, or has no public key.
    """
    try:
        keys = jwt.PyJWKSet.from_dict(json.loads(data)).keys
    except (ValueError, AttributeError, TypeError, jwt.PyJWTError):
        raise ValueError("is no JSON Web Key Set with a public key") from None
    # A symmetric key in a set that anybody can read lets anybody sign.
    public = {key.key_id: key for key in keys if key.key_type != "oct"}
    if not public:
        raise ValueError("has no public key")
    return public | ({None: next(iter(public.values()))} if len(public) == 1 else {})


def fetch(address: str) -> bytes:
    """What is at an address, by GET. Blocks.

    Raises:
        OSError: it cannot be had.
        ValueError: it is longer than keys are.
    """
    # The address is the administrator's, http or https: config.py.
    with urllib.request.urlopen(address, timeout=FETCH_TIMEOUT_SECONDS) as answer:  # noqa: S310
        data = bytes(answer.read(MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise ValueError("is too long for a key set")
    return data


def read_file(path: str) -> bytes:
    """The same for a file."""
    return Path(path).read_bytes()


class KeySet:
    """Keys by id, had again when they are old or when one is asked for that is not there.

    Args:
        place: file or address, for the log.
        load: has the key set from there; may block.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        place: str,
        load: Callable[[str], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._load = load
        self._clock = clock
        self._keys: Keys = NO_KEYS
        self._loaded = float("-inf")
        self._tried = float("-inf")
        self._loading = asyncio.Lock()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that id; None if the issuer has none.

        Raises:
            KeysError: no keys could ever be had.
        """
        is_coming = key_id not in self._keys and self._loading.locked()
        if is_coming or self._wanted(key_id):
            async with self._loading:
                if self._wanted(key_id):  # or somebody has just had them
                    await self._renew()
        if not self._keys:
            raise KeysError(self._place)
        return self._keys.get(key_id)

    def _wanted(self, key_id: str | None) -> bool:
        """Whether to have the keys again now."""
        now = self._clock()
        if now - self._tried < REFETCH_SECONDS:
            return False
        return key_id not in self._keys or now - self._loaded >= LIFESPAN_SECONDS

    async def _renew(self) -> None:
        self._tried = self._clock()
        try:
            data = await asyncio.to_thread(self._load, self._place)
            self._keys = read_keys(data)
        except (OSError, ValueError) as error:
            # Old keys are better than none: an issuer that is down locks nobody out.
            fault = type(error).__name__
            LOG.warning("keys cannot be had", extra={"place": self._place, "fault": fault})
            return
        self._loaded = self._tried
