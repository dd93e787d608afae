"""The sanitizer of AWS's error texts.

AWS's texts name the account, the server's role and session, and sometimes keys, signatures and
hosts. Callers are authorized by Taskgate and must not see any of these. `sanitize` is for callers,
`redact_secrets` for the log, where the operator needs the names of roles and accounts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from taskgate_server.services.registry import SERVICES

Replace: TypeAlias = str | Callable[[re.Match[str]], str]
Rules: TypeAlias = tuple[tuple[re.Pattern[str], Replace], ...]

MAX_CHARACTERS: Final = 4096
"""Of one text that are looked at. Callers get 1,500 bytes at most (`status.MAX_MESSAGE_BYTES`)."""

REMOVED: Final = "[removed]"
IDENTITY: Final = "[identity]"
ACCOUNT: Final = "[account]"
HOST: Final = "[host]"

_NAME: Final = r"""(?:[^\s"'`,;<>()\[\]{}|]|,(?=[\w+=,.@/-]))"""
"""A character of a name in a sentence: what follows a name is white space or punctuation. Names of
roles and sessions may have a comma."""

_SECRETS: Final[Rules] = (
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html: the text
    # quotes the request that should have been signed, with the session token among its headers.
    (re.compile(r"(?i)the canonical string for this request.*", re.DOTALL), REMOVED),
    (re.compile(r"(?i)\b(?:canonical string|string-to-sign)\b.*", re.DOTALL), REMOVED),
    (re.compile(r"(?i)(authorization(?: failure)? message:\s*)\S+"), rf"\1{REMOVED}"),
    (
        re.compile(r"(?i)\b((?:credential|signature|signedheaders|x-amz-[a-z-]+|token)\s*=)\s*\S+"),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"(?i)\b(x-amz-[a-z-]+:)\s*\S+"), rf"\1{REMOVED}"),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: prefixes of
    # unique ids; a colon and a session name may follow a role's.
    (
        re.compile(
            r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AGPA|AIDA|AIPA|AKIA|ANPA|ANVA|APKA|AROA|ASCA|ASIA)"
            rf"[A-Z0-9]{{12,}}(?::{_NAME}+)?"
        ),
        REMOVED,
    ),
    # Tokens and encoded messages: long, and of all kinds of characters.
    (
        re.compile(
            r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9+/=_-]{0,90}[0-9])(?=[A-Za-z0-9+/=_-]{0,90}[A-Z])"
            r"(?=[A-Za-z0-9+/=_-]{0,90}[a-z])[A-Za-z0-9+/=_-]{100,}"
        ),
        REMOVED,
    ),
)

_SERVED: Final = frozenset(spec.name for spec in SERVICES)
"""AWS services whose resources callers name themselves: of their ARNs the resource stays."""

_ARN: Final = re.compile(
    rf"(?i)\barn:[\w*-]*:(?P<service>[\w*-]*):[\w*-]*:[\w*-]*:(?P<resource>{_NAME}*)"
)


def _resource_of(arn: re.Match[str]) -> str:
    return arn["resource"] if arn["service"].lower() in _SERVED else IDENTITY


_NAMES: Final[Rules] = (
    (_ARN, _resource_of),
    (re.compile(rf"(?i)\barn(?::|%3a){_NAME}*"), IDENTITY),
    (
        re.compile(
            rf"(?i)\b(?:assumed-role|federated-user|instance-profile|role|session|user)/{_NAME}+"
        ),
        IDENTITY,
    ),
    (re.compile(rf"(?i)\b((?:role)?session(?: ?name)?\s*[:=]\s*)[\"']?{_NAME}+"), rf"\1{IDENTITY}"),
    (re.compile(rf"(?i)\bhttps?://{_NAME}+"), HOST),
    (
        re.compile(
            r"(?i)(?<![\w.-])(?:[\w-]+\.)+(?:amazonaws\.com(?:\.cn)?|amazon\.com|aws\.dev|api\.aws|internal"
            r"|local|localdomain|svc)(?::\d+)?\b"
        ),
        HOST,
    ),
    (re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]+)?(?![\w.])"), HOST),
    # Paths of AWS's own machines, and Java's names of classes.
    (
        re.compile(
            rf"(?<![\w/:.-])/(?:apollo|etc|home|local|mnt|opt|proc|root|srv|tmp|usr|var)/{_NAME}*"
        ),
        REMOVED,
    ),
    (re.compile(rf"\b(?:com\.amazon|software\.amazon|java|javax)\.{_NAME}+"), REMOVED),
    # A UUID may end in twelve decimal digits, and is no account.
    (
        re.compile(
            r"(?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)"
            r"|(?<![0-9A-Za-z])[0-9]{12}(?![0-9A-Za-z])"
            r"|(?<![\w-])[0-9]{4}-[0-9]{4}-[0-9]{4}(?![\w-])"
        ),
        lambda found: found["uuid"] or ACCOUNT,
    ),
)


def sanitize(text: str) -> str:
    """Return an error's text as callers may read it.

    Removed are ARNs, account ids, names of roles, users and sessions, access keys, details of
    signatures, encoded messages, hosts and paths. The resource in an ARN of Deadline Cloud or
    HealthOmics stays, and so do ids, since callers send those themselves.
    """
    return _replaced(redact_secrets(text), _NAMES)


def redact_secrets(text: str) -> str:
    """Return an error's text as the log may have it: without keys, tokens and signatures."""
    return _replaced(_shortened(text), _SECRETS)


def sanitize_response(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error as botocore parsed it with every text sanitized, but for code and headers."""
    error: Mapping[str, Any] = response.get("Error", {})
    kept = {
        "Error": {**sanitize_all(error), "Code": error.get("Code")},
        "ResponseMetadata": response.get("ResponseMetadata", {}),
    }
    rest = {key: value for key, value in response.items() if key not in kept}
    return {**sanitize_all(rest), **kept}


def sanitize_all(value: Any) -> Any:
    """Return a value of JSON with every text in it sanitized, keys of objects included."""
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, Mapping):
        return {sanitize(str(key)): sanitize_all(each) for key, each in value.items()}
    if isinstance(value, list):
        return [sanitize_all(each) for each in value]
    return value


def _replaced(text: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


_LAST_WORD: Final = re.compile(r"\S{1,512}\Z")


def _shortened(text: str) -> str:
    """The beginning of a text, without a word that is cut: it could be the half of an ARN."""
    if len(text) <= MAX_CHARACTERS:
        return text
    return _LAST_WORD.sub("", text[:MAX_CHARACTERS])
