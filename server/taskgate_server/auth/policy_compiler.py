"""Compiles the text of policies to what the server can load, in a child: see `policy_child`."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from taskgate_server.auth.child_process import ChildError, run_module
from taskgate_server.reloading import RejectedError

CHILD: Final = "taskgate_server.auth.policy_child"

MAX_POLICY_BYTES: Final = 256 * 1024
"""Of all policy files together."""

MAX_SECONDS: Final = 60.0
"""The child limits itself to 20 s of CPU. This limit is for a machine that hardly runs it."""


@dataclass(frozen=True, slots=True)
class CompiledPolicies:
    """Policies as Cedar's JSON, which is bounded in depth."""

    all: str
    named: str
    """Without the permits for all actions, which leave out deletions and credentials."""


def compile_policies(
    texts: Sequence[tuple[str, str]], schema: str, trials: Sequence[Mapping[str, Any]]
) -> CompiledPolicies:
    """Parse and check policies, and try some decisions.

    Args:
        texts: Cedar, each with where it comes from.
        schema: Cedar's, as JSON.
        trials: requests and entities that the policies must be able to decide.

    Raises:
        RejectedError: the policies cannot be used.
        OSError: the child cannot be started.
    """
    size = sum(len(text.encode()) for _, text in texts)
    if size > MAX_POLICY_BYTES:
        raise RejectedError(
            f"the policies have {size} bytes, and {MAX_POLICY_BYTES} are allowed: give callers"
            " groups, and write rules for groups"
        )
    given = {"schema": schema, "texts": texts, "trials": trials}
    try:
        written = run_module(CHILD, json.dumps(given).encode(), seconds=MAX_SECONDS)
        outcome: dict[str, str] = json.loads(written)
    except ChildError as error:
        raise RejectedError(_reason(error)) from None
    if "summary" in outcome:
        raise RejectedError(outcome["summary"], outcome["detail"])
    return CompiledPolicies(outcome["all"], outcome["named"])


def _reason(error: ChildError) -> str:
    if error.status in {None, -signal.SIGXCPU, -signal.SIGKILL}:
        return f"the check of the policy {error}: write fewer or narrower rules"
    return f"the policy crashes Cedar's parser, which {error}: is it nested too deeply?"
