"""The guard that the settings ask for. Imported when they ask for one: it takes 0.3 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskgate_server.config import Settings
from taskgate_server.guard.callers import Callers
from taskgate_server.guard.guard import Guard
from taskgate_server.guard.keys import NAME, FetchedKeys, FileKeys, Keys, KeySource, read_keys
from taskgate_server.guard.limits import Fairness, Limits
from taskgate_server.guard.policy import Policy
from taskgate_server.guard.tokens import TokenRules, Tokens
from taskgate_server.reloading import RejectedError, Reloading, ReloadingFile
from taskgate_server.supervision import BackgroundTask

DEFAULT_POLICY = Path(__file__).with_name("default.cedar")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard, and what runs while it guards."""

    guard: Guard
    runs: list[BackgroundTask]
    reloading: list[Reloading]


def build_guard(settings: Settings) -> Guarded:
    """Return the guard.

    Raises:
        reloading.FileFaultError: the policy or the keys cannot be used.
    """
    runs: list[BackgroundTask] = []
    reloading: list[Reloading] = []
    policy = None
    if tells_callers(settings) or settings.policy_files:
        policy = load_policy(settings.policy_files or (DEFAULT_POLICY,))
        runs.append(BackgroundTask(policy.name, policy.run))
        reloading.append(policy)
    tokens = None
    if settings.jwt_issuer is not None:
        source, keys = _keys(settings.jwt_keys or "")
        runs.append(BackgroundTask(keys.name, keys.run))
        reloading.append(keys)
        tokens = Tokens(source, _rules(settings, settings.jwt_issuer))
    guard = Guard(
        Callers(tokens, certificates=settings.tls_client_ca_file is not None),
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
    return Guarded(guard, runs, reloading)


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


def _keys(place: str) -> tuple[KeySource, FetchedKeys | ReloadingFile[Keys]]:
    """Return the keys at an address or in a file, and what reloads them."""
    if "://" in place:
        fetched = FetchedKeys(place)
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
