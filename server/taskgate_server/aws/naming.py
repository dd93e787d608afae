"""AWS's names in proto's spelling: pure functions, used by `codegen` and the converter alike.

The way back needs no function: a field's `json_name` is the AWS member's own name, and an enum's
words are found by spelling each word of the model.
"""

from __future__ import annotations

import re

from botocore import xform_name

UNKNOWN_MEMBER = "unknown_member"
"""The oneof field that names a union member that the contract does not know."""

UNRECOGNIZED_VALUES = "unrecognized_values"
"""The map field that carries enum words that the contract does not know, by field path."""

EMPTY_MEMBERS = "empty_members"
"""The field that names the lists and maps of a message that are there and empty."""

WRAPPED_VALUES = "values"
"""The only field of a message that wraps a list or a map."""

UNION_ONEOF = "value"
"""The oneof of every tagged union."""


def field_name(member: str) -> str:
    """`farmId` -> `farm_id`, as boto3 spells its methods."""
    return xform_name(member)


def enum_value_name(enum: str, word: str) -> str:
    """(`Ec2MarketType`, `on-demand`) -> `EC2_MARKET_TYPE_ON_DEMAND`.

    Protobuf scopes enum values by the enum's parent, as C++ does, so each carries its enum's name.
    """
    return f"{_upper_snake(enum)}_{_upper_snake(word)}"


def enum_zero_name(enum: str) -> str:
    """The name of the value that means "not set"."""
    return enum_value_name(enum, "UNSPECIFIED")


def request_name(operation: str) -> str:
    """The request message of an operation, whatever AWS calls its input shape."""
    return f"{operation}Request"


def response_name(operation: str) -> str:
    """The response message of an operation, whatever AWS calls its output shape."""
    return f"{operation}Response"


def _upper_snake(name: str) -> str:
    words = re.sub(r"[^0-9A-Za-z]+", "_", name)
    return words if words.isupper() else xform_name(words).upper()
