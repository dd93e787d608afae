"""Whether what a client saw is what a case expects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_ABSENT = object()


def mismatches(expected: Any, seen: Any, at: str = "") -> list[str]:
    """What is not as expected, in words; empty if all is.

    Args:
        expected: a value, or a mapping of one matcher to its argument, see README.md.
        seen: JSON.
        at: where in the whole, for the words.
    """
    matcher = _matcher(expected)
    if matcher is not None:
        fits = matcher(seen)
    elif isinstance(expected, Mapping) and isinstance(seen, Mapping):
        return [
            fault
            for key, value in expected.items()
            for fault in mismatches(value, seen.get(key, _ABSENT), f"{at}.{key}" if at else key)
        ]
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        return [
            fault
            for index, (one, other) in enumerate(zip(expected, seen, strict=True))
            for fault in mismatches(one, other, f"{at}[{index}]")
        ]
    else:
        alike = type(expected) is type(seen) or {type(expected), type(seen)} == {int, float}
        fits = alike and expected == seen
    return [] if fits else [f"{at or 'it'} is {_told(seen)}, not {expected!r}"]


def _matcher(expected: Any) -> Callable[[Any], bool] | None:
    if not isinstance(expected, Mapping) or len(expected) != 1:
        return None
    ((name, argument),) = expected.items()
    make = _MATCHERS.get(name)
    return None if make is None else make(argument)


def _told(seen: Any) -> str:
    return "absent" if seen is _ABSENT else repr(seen)


_MATCHERS: Mapping[str, Callable[[Any], Callable[[Any], bool]]] = {
    "matches": lambda pattern: (
        lambda seen: isinstance(seen, str) and re.search(pattern, seen) is not None
    ),
    "at_least": lambda least: lambda seen: isinstance(seen, int | float) and seen >= least,
    "at_most": lambda most: lambda seen: isinstance(seen, int | float) and seen <= most,
    "contains": lambda item: (
        lambda seen: (
            isinstance(seen, list | str)
            and (
                item in seen
                if isinstance(seen, str)
                else any(not mismatches(item, each) for each in seen)
            )
        )
    ),
    "length": lambda length: lambda seen: isinstance(seen, list | str) and len(seen) == length,
    "absent": lambda _: lambda seen: seen is _ABSENT,
    "any_of": lambda choices: lambda seen: any(not mismatches(each, seen) for each in choices),
}
