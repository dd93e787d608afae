"""The cases about names: every form of every AWS service, in each language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.generate.clients.forms import NameType, read_contract, snake
from taskgate_server.services.registry import SERVICES

FEATURE = "names formatted and parsed"
"""The row in docs/clients.md."""

Step = Mapping[str, Any]


def entries() -> list[dict[str, Any]]:
    """Return the cases in the form of cases.yaml."""
    names = read_contract(spec for spec in SERVICES if not spec.contract).names
    cases = {
        "names are formatted and parsed": [
            step for name in names for step in _round_trip(name, _ids(name))
        ],
        "malformed names are rejected with the valid forms, without a call": [
            step for name in names for step in _malformed(name, names)
        ],
    }
    return [
        {"name": name, "feature": FEATURE, "connect": None, "steps": steps}
        for name, steps in cases.items()
    ]


def _ids(name: NameType) -> list[str]:
    return [f"{key.lower()}-{number}" for number, key in enumerate(name.ids, start=1)]


def _text(name: NameType, ids: Sequence[str]) -> str:
    pairs = zip(name.collections, ids, strict=True)
    return "/".join((name.service, *(part for pair in pairs for part in pair)))


def _round_trip(name: NameType, ids: list[str]) -> Iterator[Step]:
    kind, text = snake(name.type_name), _text(name, ids)
    yield {"client": {"do": "build_name", "kind": kind, "ids": ids}, "expect": {"ok": text}}
    parsed = {"kind": kind, "ids": ids}
    yield {"client": {"do": "parse_name", "name": text}, "expect": {"ok": parsed}}


def _malformed(name: NameType, names: Sequence[NameType]) -> Iterator[Step]:
    """Yield names that differ from a valid one in one way."""
    ids = _ids(name)
    text, forms = _text(name, ids), {_text(each, _ids(each)) for each in names}
    start = f"{name.service}/{name.collections[0]}/{{{name.ids[0]}}}"  # of every form
    invalid = {"invalid": {"matches": re.escape(start)}}
    for malformed in (
        "",
        name.service,
        f"/{text}",
        f"{text}/",
        f"{text}/more",
        f"x{text}",
        text.rpartition("/")[0],
        _text(name, [*ids[:-1], ""]),
        _text(name, ["", *ids[1:]]),
        text.replace(f"/{name.collections[-1]}/", "/unknown/"),
    ):
        assert malformed not in forms
        yield {"client": {"do": "parse_name", "name": malformed}, "expect": invalid}
    kind = snake(name.type_name)
    for index in range(len(ids)):
        for bad, reason in (("", "empty"), ("1/2", "slash")):
            wrong = [*ids[:index], bad, *ids[index + 1 :]]
            yield {
                "client": {"do": "build_name", "kind": kind, "ids": wrong},
                "expect": {"invalid": {"matches": reason}},
            }
