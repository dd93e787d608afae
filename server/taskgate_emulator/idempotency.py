"""Calls that are sent twice with one client token happen once.

botocore sends the same token again when it retries, and a caller may pass its own: the second call
gets the first one's answer, so that a retried requeue does not restart a running task.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from taskgate_emulator.errors import AwsError
from taskgate_server.aws.model import OperationModel

__all__ = ["Replays"]

_Result = Mapping[str, Any]
_REMEMBERED = 10_000
"""AWS keeps tokens for hours; this many calls is longer than any retry."""


class Replays:
    """The answers of calls that carried a client token."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], tuple[_Result, _Result]] = OrderedDict()

    def once(
        self, operation: OperationModel, params: _Result, happen: Callable[[], _Result]
    ) -> _Result:
        """The answer of this call, or of the earlier one with its token.

        A call that raises is not remembered: it changed nothing, so it may be tried again.

        Raises:
            AwsError: the token was used with other params.
        """
        tokens = [params[name] for name in operation.idempotent_members if name in params]
        if not tokens:
            return happen()
        key = (operation.name, tokens[0])
        if key in self._answers:
            first_params, answer = self._answers[key]
            if first_params != params:
                message = "The client token was used before with other parameters"
                raise AwsError("ValidationException", message, {"reason": "OTHER"})
            return answer
        answer = happen()
        self._answers[key] = (params, answer)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer
