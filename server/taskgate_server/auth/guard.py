"""The guard that the settings configure. Imported only if they configure one: it takes 0.3 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taskgate_server.auth.authentication import Callers
from taskgate_server.auth.decisions import Decisions
from taskgate_server.auth.jwks import FetchedKeys, FileKeys, fetch
from taskgate_server.auth.lifetimes import Lifetimes
from taskgate_server.auth.limits import CallerLimits, Limits
from taskgate_server.auth.policy import Policy
from taskgate_server.auth.tokens import TokenRules, Tokens
from taskgate_server.background_tasks import BackgroundTask
from taskgate_server.config import Settings
from taskgate_server.reloading import RejectedError, Reloading, ReloadingFile

DEFAULT_POLICY = Path(__file__).with_name("default.cedar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Authenticates, limits and authorizes callers, through the stages of the pipeline."""

    callers: Callers
    limits: CallerLimits
    decisions: Decisions | None
    """None if every caller may do everything."""
    lifetimes: Lifetimes
    runs: list[BackgroundTask]
    """Run in the background while the server serves calls."""
    reloading: list[Reloading]
    """The policy and the keys, if there are any."""


def build_guard(settings: Settings) -> Guard:
    """Return the guard that the settings configure.

    Raises:
        SettingsError: the policy or the keys cannot be used.
    """
    lifetimes = Lifetimes(settings.jwt_leeway_seconds + settings.stream_expiry_grace_seconds)
    runs: list[BackgroundTask] = []
    reloading: list[Reloading] = []
    decisions = tokens = None
    if settings.policy_files or settings.jwt_issuer or settings.tls_client_ca_file:
        policy = load_policy(settings.policy_files or (DEFAULT_POLICY,))
        policy.on_change.append(lifetimes.authorize_soon)
        decisions = Decisions(policy, accepts_tokens=settings.jwt_issuer is not None)
        runs.append(BackgroundTask(policy.name, policy.run))
        runs.append(BackgroundTask("stream_lifetimes", lifetimes.run))
        reloading.append(policy)
    if settings.jwt_issuer is not None:
        keys = _load_keys(settings)
        runs.append(BackgroundTask(keys.name, keys.run))
        reloading.append(keys)
        rules = TokenRules(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience or "",
            algorithms=settings.jwt_algorithms,
            leeway=settings.jwt_leeway_seconds,
            groups_claim=settings.jwt_groups_claim,
        )
        tokens = Tokens(keys, rules)
    limits = Limits(
        calls_per_second=settings.caller_calls_per_second,
        concurrent_calls=settings.caller_concurrent_calls,
        streams=settings.caller_streams,
        request_bytes_per_second=settings.caller_request_bytes_per_second,
    )
    return Guard(
        callers=Callers(tokens, certificates=settings.tls_client_ca_file is not None),
        limits=CallerLimits(limits),
        decisions=decisions,
        lifetimes=lifetimes,
        runs=runs,
        reloading=reloading,
    )


def load_policy(files: Sequence[Path]) -> ReloadingFile[Policy]:
    """Return the policy in the files, which is reloaded when they change.

    Raises:
        SettingsError: the policy cannot be used.
    """

    def parse(contents: list[bytes]) -> Policy:
        try:
            texts = [content.decode("utf-8") for content in contents]
        except UnicodeDecodeError:
            raise RejectedError("is not encoded in UTF-8") from None
        named = zip((file.name for file in files), texts, strict=True)
        return Policy(named, ships_with_server=list(files) == [DEFAULT_POLICY])

    return ReloadingFile("policy", files, parse)


def _load_keys(settings: Settings) -> FetchedKeys | FileKeys:
    source = settings.jwt_keys or ""
    if "://" not in source:
        return FileKeys(Path(source))
    load = partial(
        fetch, token_file=settings.jwt_keys_token_file, ca_file=settings.jwt_keys_ca_file
    )
    return FetchedKeys(source, load)
