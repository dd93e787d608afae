"""Parses and checks policies in a child process, since a parser may crash or hang.

Cedar's parser is recursive: 800 nested parentheses overflow a stack of 8 MiB and end the process
with SIGSEGV. This process does everything that the server will do with a policy, on a smaller stack
than the server's, and returns the parsed policies as JSON. Cedar's JSON parser (serde_json) accepts
at most 128 levels of nesting, so that the server parses and evaluates only policies of bounded
depth.

Reads a JSON object `{"schema": str, "texts": [[file, text], ...], "trials": [...]}` from its
standard input, and writes `{"all": str, "named": str}` or `{"summary": str, "detail": str}` to its
standard output. It imports little, to start in 0.1 s.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import cedarpy

STACK_BYTES: Final = 1024 * 1024
"""An eighth of what Linux gives the server's threads by default."""

CPU_SECONDS: Final = 20
MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space; 256 KiB of policies take less than 200 MiB."""

MAX_DETAIL_CHARACTERS: Final = 2000


class FaultError(Exception):
    """Policies that cannot be used.

    Args:
        summary: what is wrong, without quotes from the policies.
        detail: the same with the file and with quotes.
    """

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(detail)
        self.summary = summary


def main() -> None:
    """Check the policies of the standard input on a small stack."""
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    ):
        resource.setrlimit(kind, (limit, limit))
    given = json.load(sys.stdin.buffer)
    outcome: dict[str, str] = {}
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=lambda: outcome.update(_outcome(given)))
    thread.start()
    thread.join()
    if not outcome:  # the thread has printed an exception, such as one of pyo3's
        sys.exit(1)
    json.dump(outcome, sys.stdout)


def _outcome(given: Mapping[str, Any]) -> dict[str, str]:
    try:
        return _compile(given["schema"], given["texts"], given["trials"])
    except FaultError as fault:
        return {"summary": fault.summary, "detail": str(fault)[:MAX_DETAIL_CHARACTERS]}


def _compile(
    schema_text: str, texts: Sequence[tuple[str, str]], trials: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    try:
        schema = cedarpy.Schema.from_json_str(schema_text)
    except ValueError as error:
        fault = "the resource types of an AWS service cannot be used in policies"
        raise FaultError(fault, f"{fault}: {error}") from None
    for file, text in texts:
        _check(schema, file, text)
    try:
        compiled = parse(text for _, text in texts)
        policies = [cedarpy.PolicySet.from_json_str(each) for each in compiled.values()]
    except (ValueError, RecursionError):
        fault = (
            "is nested too deeply: use a set instead of many `||`, such as"
            " `[…].contains(…)` or `in […]`, or several policies"
        )
        raise FaultError(fault, f"{', '.join(file for file, _ in texts)}: {fault}") from None
    for trial in trials:
        for each in policies:
            _try(each, trial)
    return compiled


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Return policies as Cedar's JSON: `all`, and `named` without the permits for all actions.

    Raises:
        ValueError: a text is not Cedar.
        RecursionError: the policies are nested too deeply for Python's JSON parser.
    """
    whole = json.loads(cedarpy.policies_to_json_str("\n".join(texts)))
    return {"all": json.dumps(whole), "named": json.dumps(_named(whole))}


def _check(schema: cedarpy.Schema, file: str, text: str) -> None:
    """Raise FaultError for a text that is not valid Cedar, or does not fit the schema."""
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise FaultError(f"{file}: is not valid Cedar", f"{file}: {error}") from None
    result = cedarpy.validate_policies(text, schema)
    if not result:
        detail = "; ".join(f"{file}: {error}" for error in result.errors)
        summary = f"{file}: names a type, an action or an attribute that does not exist"
        raise FaultError(summary, detail)


def _named(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policies without the permits for all actions: see `policy`."""
    named = {
        key: each
        for key, each in whole["staticPolicies"].items()
        if each["effect"] == "forbid" or each["action"]["op"] != "All"
    }
    return {**whole, "staticPolicies": named}


def _try(policies: cedarpy.PolicySet, trial: Mapping[str, Any]) -> None:
    result = cedarpy.is_authorized(dict(trial["request"]), policies, list(trial["entities"]))
    if result.diagnostics.errors:
        fault = "a condition cannot be evaluated"
        raise FaultError(fault, f"{fault}: {result.diagnostics.errors[0]}")


if __name__ == "__main__":
    main()
