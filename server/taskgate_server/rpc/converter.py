"""The bridge between the generated contract and boto3: for each operation a pair of functions.

`Converter.to_params` takes a request message to boto3's parameters, `Converter.to_message` an
answer to the response message. Both are compiled on first use from the AWS model and the message's
descriptor (`to_params`, `to_message`), so no operation's or member's name is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.rpc.request_converter import Params, RequestCompiler, Structure, validate
from taskgate_server.rpc.response_converter import ResponseCompiler
from taskgate_server.rpc.validation import DEFAULT_LIMITS, Limits

UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(RecursionError, DecodeError),  # a document deeper than Python or protobuf goes
)
"""What an answer that does not fit its model makes the conversion raise."""


class Operation:
    """One AWS operation as an RPC: its messages, and their conversion compiled when first used."""

    def __init__(
        self,
        method: MethodDescriptor,
        find_model: Callable[[str], model.OperationModel],
        compilers: tuple[RequestCompiler, ResponseCompiler],
    ) -> None:
        self.name: str = method.name
        self.request_class = message_factory.GetMessageClass(method.input_type)
        self.response_class = message_factory.GetMessageClass(method.output_type)
        self._messages: tuple[Descriptor, Descriptor] = method.input_type, method.output_type
        self._find_model = find_model
        self._compilers = compilers

    @cached_property
    def model(self) -> model.OperationModel:
        """What botocore knows of the operation."""
        return self._find_model(self.name)

    def to_params(self, request: Message, limits: Limits = DEFAULT_LIMITS) -> Params:
        """Return the request as boto3 takes it.

        Args:
            request: loses the fields that its message does not have, if there are some.
            limits: how much of it is validated.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the faults that the model finds.
        """
        return validate(self._request, request, limits)

    def to_message(self, response: Mapping[str, Any]) -> Message:
        """AWS's answer as the response message.

        Raises:
            errors.TaskgateError: UNKNOWN, the answer does not fit the model.
        """
        if self._response is None:
            return self.response_class()
        try:
            return self.response_class(**self._response(response))
        except UNREADABLE as error:
            raise errors.unreadable_response(self.name) from error

    @cached_property
    def _request(self) -> Structure:
        shape = self.model.input_shape
        return self._compilers[0].structure(shape, self._messages[0]) if shape else Structure()

    @cached_property
    def _response(self) -> Callable[[Any], dict[str, Any]] | None:
        shape = self.model.output_shape
        return self._compilers[1].structure(shape, self._messages[1]) if shape else None
