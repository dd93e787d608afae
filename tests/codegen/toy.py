"""A toy of an AWS service with every kind of shape, and how its model changes over the years."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from taskgate_server.aws import model
from taskgate_server.codegen.__main__ import generate
from taskgate_server.services.spec import ServiceSpec

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SPEC = ServiceSpec(
    name="toy", title="Toy", grpc_service="ToyService", request_rates={"GetThing": 2.5}
)

Description: TypeAlias = dict[str, Any]
Files: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A state of the model."""

    name: str
    service: model.ServiceModel


def description() -> Description:
    """The first model, as JSON has it."""
    loaded: Description = json.loads((HERE / "service-2.json").read_text())
    return loaded


def service_of(described: Description) -> model.ServiceModel:
    return model.ServiceModel(copy.deepcopy(described), SPEC.name)


def versions() -> list[Version]:
    """Every state of the model, oldest first."""
    described = description()
    made = [Version(name="1-first", service=service_of(described))]
    for number, change in enumerate(CHANGES, start=2):
        change(described)
        name = f"{number}-{change.__name__.replace('_', '-')}"
        made.append(Version(name=name, service=service_of(described)))
    return made


def generated(root: Path) -> Iterator[tuple[Version, Files]]:
    """Each version's files, by name, each made on top of the one before under `root`."""
    for version in versions():
        files = generate(SPEC, root, version.service, f"toy {version.name}")
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        yield version, {path.name: text for path, text in files.items()}


# --- the changes, each of the model before --------------------------------------------------------


def _insert(shape: Description, place: int, member: str, target: str) -> None:
    members = list(shape["members"].items())
    members.insert(place, (member, {"shape": target}))
    shape["members"] = dict(members)


def added(toy: Description) -> None:
    shapes = toy["shapes"]
    _insert(shapes["Nested"], 0, "first", "Text")
    _insert(shapes["Nested"], 3, "middle", "Kinds")
    _insert(shapes["Nested"], len(shapes["Nested"]["members"]), "last", "Text")
    _insert(shapes["Choice"], 0, "flag", "Flag")
    _insert(shapes["Choice"], 5, "bigs", "Bigs")
    shapes["Kind"]["enum"].insert(0, "arm64")
    shapes["Grade"]["enum"].append("in-between")
    shapes["ListThingsResponse"] = {
        "type": "structure",
        "members": {"things": {"shape": "Nesteds"}, "nextToken": {"shape": "Text"}},
    }
    toy["operations"]["ListThings"] = {
        "name": "ListThings",
        "http": {"method": "GET", "requestUri": "/things", "responseCode": 200},
        "output": {"shape": "ListThingsResponse"},
    }


def removed(toy: Description) -> None:
    shapes = toy["shapes"]
    for member in ("first", "middle", "md5Checksum"):
        del shapes["Nested"]["members"][member]
    del shapes["Choice"]["members"]["count"]
    del shapes["Choice"]["members"]["nested"]
    shapes["Kind"]["enum"].remove("lower")
    shapes["Mood"]["enum"].remove("GLAD")
    # Nothing is left that is an enum or may be empty.
    del shapes["Labelled"]["members"]["mood"]
    del shapes["Labelled"]["members"]["labels"]
    # With the last member that holds it goes the shape.
    del shapes["Changing"]["members"]["tag"]
    del toy["operations"]["Ping"]
    del toy["operations"]["GetBlob"]


def returned(toy: Description) -> None:
    """All that was removed, in another order, and with words that had never gone."""
    shapes = toy["shapes"]
    for member, target in (("md5Checksum", "Text"), ("middle", "Kinds"), ("first", "Text")):
        _insert(shapes["Nested"], 0, member, target)
    _insert(shapes["Choice"], 0, "nested", "Nested")
    _insert(shapes["Choice"], 0, "count", "Count")
    shapes["Kind"]["enum"].append("lower")
    shapes["Mood"]["enum"].append("GLAD")
    _insert(shapes["Labelled"], 0, "labels", "Names")
    _insert(shapes["Labelled"], 0, "mood", "Mood")
    _insert(shapes["Changing"], 0, "tag", "Tag")
    original = description()["operations"]
    toy["operations"]["Ping"] = original["Ping"]
    toy["operations"]["GetBlob"] = original["GetBlob"]


def retyped(toy: Description) -> None:
    shapes = toy["shapes"]
    nested, changing = shapes["Nested"]["members"], shapes["Changing"]["members"]
    nested["HTTPStatus"] = {"shape": "Text"}  # integer -> string
    nested["s3Uri"] = {"shape": "Count"}  # string -> integer
    nested["grade"] = {"shape": "Text"}  # enum -> string
    shapes["Plain"]["enum"] = ["PLAIN", "fancy"]  # string -> enum, and so in three containers
    del shapes["Kind"]["enum"]  # enum -> string, everywhere
    changing["single"] = {"shape": "Names"}  # scalar -> list
    shapes["Shift"]["union"] = True  # structure -> union
    changing["old"] = {"shape": "New"}  # a structure's new name
    shapes["New"] = shapes.pop("Old")
    shapes["Signal"] = {"type": "string", "enum": ["text"]}  # structure -> enum of that name
    shapes["Choice"]["members"]["text"] = {"shape": "Big"}  # in a union
    shapes["ListOfMaps"] = {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "NameMap"}}
    shapes["Nesteds"] = {"type": "list", "member": {"shape": "Tag"}}  # also inside MapOfNesteds


def retyped_back(toy: Description) -> None:
    shapes, original = toy["shapes"], description()["shapes"]
    for name in ("Plain", "Signal", "ListOfMaps", "Nesteds", "Changing", "Shift"):
        shapes[name] = original[name]
    shapes["Old"] = shapes.pop("New")
    shapes["Kind"]["enum"] = ["lower", "brand-new", *original["Kind"]["enum"][:2]]
    nested = shapes["Nested"]["members"]
    for member in ("HTTPStatus", "s3Uri", "grade"):
        nested[member] = original["Nested"]["members"][member]
    shapes["Choice"]["members"]["text"] = {"shape": "Text"}


def retyped_again(toy: Description) -> None:
    """What was once so is what it was: no third version of a message."""
    shapes = toy["shapes"]
    shapes["Plain"]["enum"] = ["fancy", "PLAIN", "fancier"]
    shapes["Shift"]["union"] = True
    shapes["Signal"] = {"type": "string", "enum": ["text"]}


CHANGES: tuple[Callable[[Description], None], ...] = (
    added,
    removed,
    returned,
    retyped,
    retyped_back,
    retyped_again,
)
