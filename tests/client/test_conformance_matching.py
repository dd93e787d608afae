"""How the expectations of the conformance cases are held to what clients saw."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import load_cases
from conformance.matching import mismatches


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (1, 1.0),
        ({}, {"a": 1}),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None, "c": 2}], "d": 3}),
        ({"a": {"absent": True}}, {}),
        ({"matches": "^R"}, "RUNNING"),
        ({"at_least": 3}, 3),
        ({"at_most": 3}, 2.5),
        ({"length": 2}, [1, 2]),
        ({"contains": {"a": 1}}, [{"a": 2}, {"a": 1, "b": 2}]),
        ({"any_of": [1, {"at_least": 5}]}, 7),
    ],
)
def test_what_fits(expected: Any, seen: Any) -> None:
    assert mismatches(expected, seen) == []


@pytest.mark.parametrize(
    ("expected", "seen", "where"),
    [
        (1, "1", "it"),
        (1, True, "it"),
        ({"a": 1}, {}, "a"),
        ({"a": 1}, [], "it"),
        ({"a": None}, {}, "a"),
        ([1], [1, 2], "it"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a[1].b"),
        ({"a": {"absent": True}}, {"a": None}, "a"),
        ({"matches": "^R"}, None, "it"),
        ({"at_least": 3}, "3", "it"),
        ({"length": 2}, None, "it"),
        ({"contains": {"a": 1}}, [{"a": 2}], "it"),
        ({"any_of": [1, 2]}, 3, "it"),
    ],
)
def test_mismatches_are_reported(expected: Any, seen: Any, where: str) -> None:
    (fault,) = mismatches(expected, seen)
    assert fault.startswith(f"{where} is ")


def test_the_cases_are_well_formed() -> None:
    assert len(load_cases()) > 50
