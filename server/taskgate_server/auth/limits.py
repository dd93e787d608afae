"""Rate limits of each caller, or of each address without identity.

A caller that exceeds its limits does not affect other callers.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from taskgate_server import errors
from taskgate_server.token_bucket import TokenBucket

MAX_CALLERS: Final = 10_000
"""Callers without calls in flight whose usage is stored."""

MAX_BUCKETS: Final = 10_000
"""The bucket used least recently is dropped, which fills it up again."""

BUSY_RETRY_SECONDS: Final = 0.5
"""RetryInfo for a caller with too many calls in flight: when one of them ends is unknown."""

REFUSALS_AT_ONCE: Final = 100
"""Refusals per second of one caller that are sent without delay."""

HOLD_SECONDS: Final = ((10 * REFUSALS_AT_ONCE, 0.5), (REFUSALS_AT_ONCE, 0.05))
"""How long further refusals are delayed, by how many there were in the last second."""

IPV6_PREFIX: Final = 64
"""The smallest network of one subscriber: RFC 6177."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of each caller."""

    calls_per_second: float
    concurrent_calls: int
    streams: int
    request_bytes_per_second: float


@dataclass(slots=True)
class _Usage:
    """The calls of one caller."""

    starts: TokenBucket
    """A token for each call that it may begin now."""
    request_bytes: TokenBucket
    """A token for each byte of requests; in debt after a request that was larger."""
    calls: int = 0
    """Calls in flight, without streams."""
    streams: int = 0
    """Streams in flight."""
    refusals: float = 0.0
    """Refusals of about the last second, decaying exponentially, at the time `refused_at`."""
    refused_at: float = 0.0

    def end_call(self) -> None:
        self.calls -= 1

    def end_stream(self) -> None:
        self.streams -= 1


class CallerLimits:
    """Counts the calls of each caller, and refuses those over a limit.

    A refusal costs the server some time, and a caller that ignores refusals could take all of it.
    `hold_seconds` returns how long to delay a refusal, so that such a caller receives fewer.

    Args:
        limits: of each caller.
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self.refused = 0
        """Calls refused so far, for metrics."""
        self._usages: OrderedDict[str, _Usage] = OrderedDict()

    def admit(self, caller: str, *, stream: bool) -> Callable[[], None]:
        """Count a call of a caller.

        Args:
            caller: the caller, or the address of one without identity.
            stream: whether the call counts as a stream, not as a call.

        Returns:
            A function to be called once, when the call has ended.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED with RetryInfo.
        """
        usage, limits = self._usage(caller), self._limits
        seconds = usage.starts.take()
        if seconds:
            raise self._refusal(caller, "calls_per_second", limits.calls_per_second, seconds)
        seconds = usage.request_bytes.seconds_until(0.0)
        if seconds:
            rate = limits.request_bytes_per_second
            raise self._refusal(caller, "request_bytes_per_second", rate, seconds)
        if not stream:
            if usage.calls >= limits.concurrent_calls:
                raise self._refusal(caller, "concurrent_calls", limits.concurrent_calls)
            usage.calls += 1
            return usage.end_call
        if usage.streams >= limits.streams:
            raise self._refusal(caller, "streams", limits.streams)
        usage.streams += 1
        return usage.end_stream

    def admit_message(self, caller: str) -> float:
        """Count a further message of a stream as a call.

        Returns:
            Seconds until it may be served; 0 if it was counted and may be served now.
        """
        return self._usage(caller).starts.take()

    def count_bytes(self, caller: str, size: int) -> None:
        """Count the bytes of a request that has arrived, since its size was unknown before.

        The request is served. If it exceeds what is left to the caller, the next calls are refused.
        """
        self._usage(caller).request_bytes.spend(size)

    def count_refusal(self, caller: str) -> None:
        """Count a call that was refused for another reason, such as an invalid token."""
        usage, now = self._usage(caller), self._clock()
        usage.refusals = 1 + usage.refusals * math.exp(usage.refused_at - now)
        usage.refused_at = now

    def hold_seconds(self, caller: str) -> float:
        """Return how many seconds to delay the refusal of the caller that was counted last."""
        refusals = self._usage(caller).refusals
        return next((seconds for count, seconds in HOLD_SECONDS if refusals > count), 0.0)

    def _refusal(
        self, caller: str, limit: str, allowed: float, seconds: float = BUSY_RETRY_SECONDS
    ) -> errors.TaskgateError:
        """Count a refusal; return its error, with the setting without its prefix as `limit`."""
        self.refused += 1
        self.count_refusal(caller)
        return errors.CallerLimitError(limit, allowed, seconds)

    def _usage(self, caller: str) -> _Usage:
        usage = self._usages.get(caller)
        if usage is None:
            usage = self._usages[caller] = _Usage(
                TokenBucket(self._limits.calls_per_second, self._clock),
                TokenBucket(self._limits.request_bytes_per_second, self._clock),
            )
            self._evict()
        self._usages.move_to_end(caller)
        return usage

    def _evict(self) -> None:
        """Drop the usage of the caller that called least recently, unless it has calls in flight.

        A caller with calls in flight moves to the end instead. Two are examined, so that the number
        of callers stays bounded while each call takes constant time.
        """
        for _ in range(min(len(self._usages) - MAX_CALLERS, 2)):
            caller, oldest = next(iter(self._usages.items()))
            if oldest.calls or oldest.streams:
                self._usages.move_to_end(caller)
            else:
                del self._usages[caller]


def token_buckets(per_second: float) -> Callable[[str], TokenBucket]:
    """Return a function that returns the bucket of a key, which gains `per_second` tokens."""
    return lru_cache(MAX_BUCKETS)(lambda _: TokenBucket(per_second))


def address_of(peer: str) -> str:
    """Return the address in gRPC's name of a peer, without the port.

    Args:
        peer: such as `ipv4:192.0.2.1:40000` or `ipv6:%5B2001:db8::1%5D:40000`.

    Returns:
        An IPv4 address, the /64 network of an IPv6 address, or the peer itself if it is neither,
        such as a Unix socket.
    """
    kind, _, address = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return network_of(unquote(address).rpartition(":")[0].strip("[]"))


def network_of(host: str) -> str:
    """Return an IPv4 address unchanged, and the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
