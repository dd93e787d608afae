"""Compare the outcome of a step with the expectation of a case."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_ABSENT = object()


def mismatches(expected: Any, actual: Any, at: str = "") -> list[str]:
    """Return descriptions of all mismatches; empty if there are none.

    Args:
        expected: a value, or a mapping of one matcher to its argument, see README.md.
        actual: the outcome, as JSON.
        at: the path of the value, for the descriptions.
    """
    matcher = _matcher(expected)
    if matcher is not None:
        matches = matcher(actual)
    elif isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return [
            fault
            for key, value in expected.items()
            for fault in mismatches(value, actual.get(key, _ABSENT), f"{at}.{key}" if at else key)
        ]
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [
            fault
            for index, (one, other) in enumerate(zip(expected, actual, strict=True))
            for fault in mismatches(one, other, f"{at}[{index}]")
        ]
    else:
        same_type = type(expected) is type(actual) or {type(expected), type(actual)} == {int, float}
        matches = same_type and expected == actual
    return [] if matches else [f"{at or 'it'} is {_describe(actual)}, not {expected!r}"]


def _matcher(expected: Any) -> Callable[[Any], bool] | None:
    if not isinstance(expected, Mapping) or len(expected) != 1:
        return None
    ((name, argument),) = expected.items()
    make = _MATCHERS.get(name)
    return None if make is None else make(argument)


def _describe(actual: Any) -> str:
    return "absent" if actual is _ABSENT else repr(actual)


_MATCHERS: Mapping[str, Callable[[Any], Callable[[Any], bool]]] = {
    "matches": lambda pattern: (
        lambda actual: isinstance(actual, str) and re.search(pattern, actual) is not None
    ),
    "at_least": lambda least: lambda actual: isinstance(actual, int | float) and actual >= least,
    "at_most": lambda most: lambda actual: isinstance(actual, int | float) and actual <= most,
    "contains": lambda item: (
        lambda actual: (
            isinstance(actual, list | str)
            and (
                item in actual
                if isinstance(actual, str)
                else any(not mismatches(item, each) for each in actual)
            )
        )
    ),
    "length": lambda length: (
        lambda actual: isinstance(actual, list | str) and len(actual) == length
    ),
    "absent": lambda _: lambda actual: actual is _ABSENT,
    "any_of": lambda choices: lambda actual: any(not mismatches(each, actual) for each in choices),
}
