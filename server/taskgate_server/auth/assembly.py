"""The guard that the settings ask for. Imported when they ask for one: it takes 0.3 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taskgate_server.auth.authentication import Callers, TokenRules, Tokens
from taskgate_server.auth.decisions import Decisions
from taskgate_server.auth.jwks import (
    NAME,
    FetchedKeys,
    FileKeys,
    Keys,
    KeySource,
    fetch,
    read_keys,
)
from taskgate_server.auth.lifetimes import Lifetimes
from taskgate_server.auth.limits import CallerLimits, Limits
from taskgate_server.auth.policy import Policy
from taskgate_server.background_tasks import BackgroundTask
from taskgate_server.config import Settings
from taskgate_server.reloading import RejectedError, Reloading, ReloadingFile

DEFAULT_POLICY = Path(__file__).with_name("default.cedar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands before the RPCs: the stages of the pipeline use it."""

    callers: Callers
    limits: CallerLimits
    decisions: Decisions | None
    """Of the policy; None if every caller may do everything."""
    lifetimes: Lifetimes
    runs: list[BackgroundTask]
    """What runs in the background while it guards."""
    reloading: list[Reloading]
    """The policy and the keys, as far as there are any."""

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
        reloading.FileFaultError: the policy or the keys cannot be used.
    """
    lifetimes = Lifetimes(settings.jwt_leeway_seconds + settings.stream_expiry_grace_seconds)
    runs: list[BackgroundTask] = []
    reloading: list[Reloading] = []
    decisions = tokens = None
    if tells_callers(settings) or settings.policy_files:
        policy = load_policy(settings.policy_files or (DEFAULT_POLICY,))
        policy.on_change.append(lifetimes.policy_changed)
        decisions = Decisions(policy, tokens_wanted=settings.jwt_issuer is not None)
        runs.append(BackgroundTask(policy.name, policy.run))
        runs.append(BackgroundTask("stream_lifetimes", lifetimes.run))
        reloading.append(policy)
    if settings.jwt_issuer is not None:
        source, keys = _keys(settings, settings.jwt_keys or "")
        runs.append(BackgroundTask(keys.name, keys.run))
        reloading.append(keys)
        tokens = Tokens(source, _rules(settings, settings.jwt_issuer))
    return Guard(
        callers=Callers(tokens, certificates=settings.tls_client_ca_file is not None),
        limits=CallerLimits(
            Limits(
                calls_per_second=settings.caller_calls_per_second,
                concurrent_calls=settings.caller_concurrent_calls,
                streams=settings.caller_streams,
                request_bytes_per_second=settings.caller_request_bytes_per_second,
            )
        ),
        decisions=decisions,
        lifetimes=lifetimes,
        runs=runs,
        reloading=reloading,
    )


def tells_callers(settings: Settings) -> bool:
    """Whether callers have to say who they are."""
    return settings.jwt_issuer is not None or settings.tls_client_ca_file is not None


def load_policy(files: Sequence[Path]) -> ReloadingFile[Policy]:
    """Return the policy in the files, which is reloaded when they change.

    Raises:
        reloading.FileFaultError: it cannot be used.
    """

    def parse(contents: list[bytes]) -> Policy:
        try:
            texts = [content.decode("utf-8") for content in contents]
        except UnicodeDecodeError:
            raise RejectedError("is not encoded in UTF-8") from None
        return Policy(zip((file.name for file in files), texts, strict=True))

    return ReloadingFile("policy", files, parse)


def _keys(settings: Settings, place: str) -> tuple[KeySource, FetchedKeys | ReloadingFile[Keys]]:
    """Return the keys at an address or in a file, and what reloads them."""
    if "://" in place:
        fetched = FetchedKeys(
            place,
            partial(
                fetch,
                token_file=settings.jwt_keys_token_file,
                ca_file=settings.jwt_keys_ca_file,
            ),
        )
        return fetched, fetched
    file = ReloadingFile(NAME, [Path(place)], lambda contents: read_keys(contents[0]))
    return FileKeys(file), file


def _rules(settings: Settings, issuer: str) -> TokenRules:
    return TokenRules(
        issuer=issuer,
        audience=settings.jwt_audience or "",
        algorithms=settings.jwt_algorithms,
        leeway=settings.jwt_leeway_seconds,
        groups_claim=settings.jwt_groups_claim,
    )
