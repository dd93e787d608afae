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
from taskgate_server.guard.decisions import Decisions
from taskgate_server.guard.lifetimes import Lifetimes
from taskgate_server.guard.limits import CallerLimits, Limits
from taskgate_server.guard.policy import Policy
from taskgate_server.guard.tokens import TokenRules, Tokens

DEFAULT_POLICY = Path(__file__).with_name("default.cedar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands before the RPCs: the stages of the pipeline use it."""

    callers: Callers
    limits: CallerLimits
    decisions: Decisions | None
    """Of the policy; None if every caller may do everything."""
    lifetimes: Lifetimes
    runs: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)
    """What runs in the background while it guards."""

    @property
    def limited(self) -> int:
        """Calls refused so far since their caller made too many, for metrics."""
        return self.limits.refused

    @property
    def denied(self) -> int:
        """Denials of the policy so far, for metrics."""
        return self.decisions.denied if self.decisions is not None else 0


def build_guard(settings: Settings) -> Guard:
    """Return the guard that the settings ask for.

    Raises:
        followed.FileFaultError: the policy or the keys cannot be used.
    """
    lifetimes = Lifetimes(settings.jwt_leeway_seconds + settings.stream_expiry_grace_seconds)
    runs: list[Callable[[], Coroutine[Any, Any, None]]] = []
    decisions = None
    if tells_callers(settings) or settings.policy_files:
        policy = follow_policy(settings.policy_files or (DEFAULT_POLICY,))
        policy.on_change.append(lifetimes.policy_changed)
        decisions = Decisions(policy, tokens_wanted=settings.jwt_issuer is not None)
        runs += [policy.run, lifetimes.run]
    return Guard(
        callers=Callers(_tokens(settings), certificates=settings.tls_client_ca_file is not None),
        limits=CallerLimits(
            Limits(
                calls_per_second=settings.caller_calls_per_second,
                concurrent_calls=settings.caller_concurrent_calls,
                streams=settings.caller_streams,
            )
        ),
        decisions=decisions,
        lifetimes=lifetimes,
        runs=runs,
    )


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
