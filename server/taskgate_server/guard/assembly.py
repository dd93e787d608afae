"""The guard that the settings ask for. Imported when they ask for one: it takes 0.3 s."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgate_server.config import Settings
from taskgate_server.followed import Followed
from taskgate_server.guard import keys
from taskgate_server.guard.callers import Callers
from taskgate_server.guard.guard import Guard
from taskgate_server.guard.limits import Fairness, Limits
from taskgate_server.guard.policy import Policy
from taskgate_server.guard.tokens import TokenRules, Tokens

DEFAULT_POLICY = Path(__file__).with_name("default.cedar")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard, and what runs while it guards."""

    guard: Guard
    runs: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)


def build_guard(settings: Settings) -> Guarded:
    """The guard.

    Raises:
        followed.FileFaultError: the policy or the keys cannot be used.
    """
    runs: list[Callable[[], Coroutine[Any, Any, None]]] = []
    policy = None
    if tells_callers(settings) or settings.policy_files:
        policy = follow_policy(settings.policy_files or (DEFAULT_POLICY,))
        runs.append(policy.run)
    guard = Guard(
        Callers(_tokens(settings), certificates=settings.tls_client_ca_file is not None),
        policy,
        Fairness(
            Limits(
                calls_per_second=settings.caller_calls_per_second,
                concurrent_calls=settings.caller_concurrent_calls,
                streams=settings.caller_streams,
            )
        ),
        tokens_wanted=settings.jwt_issuer is not None,
    )
    return Guarded(guard, runs)


def tells_callers(settings: Settings) -> bool:
    """Whether callers have to say who they are."""
    return settings.jwt_issuer is not None or settings.tls_client_ca_file is not None


def follow_policy(files: Sequence[Path]) -> Followed[Policy]:
    """The policy in the files, and how it changes.

    Raises:
        followed.FileFaultError: it is none.
    """

    def read(contents: list[bytes]) -> Policy:
        texts = [content.decode("utf-8") for content in contents]
        return Policy(zip((file.name for file in files), texts, strict=True))

    return Followed(files, read)


def _tokens(settings: Settings) -> Tokens | None:
    if settings.jwt_issuer is None:
        return None
    place = settings.jwt_keys or ""
    load = keys.fetch if "://" in place else keys.read_file
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience or "",
        algorithms=settings.jwt_algorithms,
        leeway=settings.jwt_leeway_seconds,
        groups_claim=settings.jwt_groups_claim,
    )
    return Tokens(keys.KeySet(place, load), rules)
