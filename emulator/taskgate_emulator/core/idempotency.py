"""Calls that are sent twice with one client token happen once.

botocore sends the same token again when it retries, and a caller may pass its own: the second call
gets the first one's answer, so that a retried requeue does not restart a running task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.state import Account
from taskgate_server.aws.model import OperationModel

__all__ = ["once"]

_Result = Mapping[str, Any]
_KIND = "emulator.Replay"
_REMEMBERED = 10_000
"""AWS keeps tokens for hours; this many calls is longer than any retry."""


def once(
    account: Account, operation: OperationModel, params: _Result, happen: Callable[[], _Result]
) -> _Result:
    """The answer of this call, or of the earlier one with its token.

    A call that raises is not remembered: it changed nothing, so it may be tried again.

    Raises:
        AwsError: the token was used with other params.
    """
    tokens = [params[name] for name in operation.idempotent_members if name in params]
    if not tokens:
        return happen()
    key = (f"{operation.service_model.service_name} {operation.name} {tokens[0]}",)
    table = account.table(_KIND)
    known = table.record(key)
    if known is not None:
        if known["params"] != params:
            message = "The client token was used before with other parameters"
            raise AwsError("ValidationException", message, {"reason": "OTHER"})
        response: _Result = known["answer"]
        return response
    response = happen()
    account.put(_KIND, key, {"params": params, "answer": response})
    oldest = table.first()
    if table.size() > _REMEMBERED and oldest is not None:
        account.delete(_KIND, (oldest,))
    return response
