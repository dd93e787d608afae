"""Converts AWS's names to protobuf's, for `codegen` and the converters.

The reverse needs no functions: a field's `json_name` is the AWS member's name, and enum words are
found by converting each word of the model.
"""

from __future__ import annotations

import re

from botocore import xform_name

UNKNOWN_MEMBER = "unknown_member"
"""The oneof field that names a union member that the contract does not know."""

UNRECOGNIZED_VALUES = "unrecognized_values"
"""The map field that carries enum words that the contract does not know, by field path."""

EMPTY_MEMBERS = "empty_members"
"""The field with the names of the lists and maps of a message that are present and empty."""

WRAPPED_VALUES = "values"
"""The only field of a message that wraps a list or a map."""

UNION_ONEOF = "value"
"""The oneof of a tagged union."""

UNION_ONEOF_BESIDE_VALUE = "member"
"""The oneof of a tagged union with a member `value`: names of fields and oneofs are distinct."""


def field_name(member: str) -> str:
    """Return `farm_id` for `farmId`."""
    return xform_name(member)


def enum_value_name(enum: str, word: str) -> str:
    """Return `EC2_MARKET_TYPE_ON_DEMAND` for `Ec2MarketType` and `on-demand`.

    Protobuf scopes enum values by the enum's parent, as C++ does, so each carries its enum's name.
    AWS's own word "unspecified" becomes `…_UNSPECIFIED_VALUE`, since zero has the shorter name.
    """
    name = f"{_upper_snake(enum)}_{_upper_snake(word)}"
    return f"{name}_VALUE" if name == enum_zero_name(enum) else name


def enum_zero_name(enum: str) -> str:
    """Return the name of the value that means "not set"."""
    return f"{_upper_snake(enum)}_UNSPECIFIED"


def request_name(operation: str) -> str:
    """Return the name of an operation's request message, independent of AWS's input shape."""
    return f"{operation}Request"


def response_name(operation: str) -> str:
    """Return the name of an operation's response message, independent of AWS's output shape."""
    return f"{operation}Response"


def _upper_snake(name: str) -> str:
    words = re.sub(r"[^0-9A-Za-z]+", "_", name)
    return words if words.isupper() else xform_name(words).upper()
