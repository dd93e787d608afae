"""The conversion between the messages of the generated contract and boto3's dicts.

Both directions are compiled on first use from AWS's model and the descriptors of the messages, by
`request_converter` and `response_converter`; there is no code for a single operation or member.
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
    *(RecursionError, DecodeError),  # a document that is nested too deeply for Python or protobuf
)
"""Raised by the conversion of a response that does not fit AWS's model."""


class Operation:
    """The messages of one AWS operation and their conversion."""

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
        """The model of the operation."""
        return self._find_model(self.name)

    def to_params(self, request: Message, limits: Limits = DEFAULT_LIMITS) -> Params:
        """Return the request as boto3 takes it.

        Args:
            request: its unknown fields are discarded.
            limits: of the validation.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the violations of AWS's model.
        """
        return validate(self._request, request, limits)

    def to_message(self, response: Mapping[str, Any]) -> Message:
        """Return AWS's response as the response message.

        Raises:
            errors.TaskgateError: UNKNOWN, the response does not fit the model.
        """
        if self._response is None:
            return self.response_class()
        try:
            return self.response_class(**self._response(response))
        except UNREADABLE as error:
            raise errors.UnreadableResponseError(self.name) from error

    @cached_property
    def _request(self) -> Structure:
        shape = self.model.input_shape
        if shape is None:
            return Structure()
        greedy = model.greedy_members(self.model)
        return self._compilers[0].structure(shape, self._messages[0], greedy)

    @cached_property
    def _response(self) -> Callable[[Any], dict[str, Any]] | None:
        shape = self.model.output_shape
        return self._compilers[1].structure(shape, self._messages[1]) if shape else None
