"""Edits of the toy's model: one for each kind of change that AWS can make to a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from taskgate_server.codegen.model_changes import AwsModel
from tests.codegen.toy import Description, description

PAGES: Final = {"ResetThings": {"input_token": "next", "output_token": "next", "result_key": "a"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """The model to edit."""

    model: Description
    pages: dict[str, Any]

    @property
    def operations(self) -> Description:
        found: Description = self.model["operations"]
        return found

    @property
    def shapes(self) -> Description:
        found: Description = self.model["shapes"]
        return found

    def members(self, shape: str) -> Description:
        found: Description = self.shapes[shape]["members"]
        return found

    def rename(self, old: str, new: str) -> None:
        """Rename a shape, and every reference to it."""
        self.shapes[new] = self.shapes.pop(old)
        for owner in (*self.operations.values(), *self.shapes.values()):
            references = [owner.get(key) for key in ("input", "output", "member", "key", "value")]
            for reference in (*references, *owner.get("members", {}).values()):
                if reference and reference["shape"] == old:
                    reference["shape"] = new


Edit: TypeAlias = Callable[[Toy], object]


def first() -> Toy:
    """Return the model before all edits."""
    return Toy(model=description(), pages=copy.deepcopy(PAGES))


def edited(edit: Edit) -> AwsModel:
    """Return the model after an edit."""
    toy = first()
    edit(toy)
    return AwsModel(description=toy.model, pagination=toy.pages)


def _operations() -> dict[str, Edit]:
    """Return the edits of operations."""

    def http(name: str, **changes: object) -> Edit:
        return lambda toy: toy.operations[name]["http"].update(changes)

    def trait(name: str, **changes: object) -> Edit:
        return lambda toy: toy.operations[name].update(changes)

    def without(name: str, key: str) -> Edit:
        return lambda toy: toy.operations[name].pop(key)

    def add(toy: Toy) -> None:
        toy.operations["PingAgain"] = {**toy.operations["Ping"], "name": "PingAgain"}

    def move_label(toy: Toy) -> None:
        toy.operations["Touch"]["http"]["requestUri"] = "/touch/{label}"
        toy.members("TouchRequest")["name"]["locationName"] = "label"

    return {
        "operation added": add,
        "operation removed": lambda toy: toy.operations.pop("Ping"),
        "method changed": http("Touch", method="PUT"),
        "path changed": http("Touch", requestUri="/v2/touch/{name}"),
        "path parameter renamed": move_label,
        "response code changed": http("Touch", responseCode=204),
        "host prefix added": trait("Touch", endpoint={"hostPrefix": "data."}),
        "error added": trait("Touch", errors=[{"shape": "ToyNotFound"}]),
        "error removed": lambda toy: toy.operations["GetThing"]["errors"].pop(),
        "operation deprecated": trait("Touch", deprecated=True, deprecatedMessage="use Ping"),
        "operation no longer idempotent": without("CreateThing", "idempotent"),
        "checksum required": trait("PutBlob", httpChecksumRequired=True),
        "authentication changed": trait("Ping", auth=["smithy.api#noAuth"]),
        "request added": trait("Ping", input={"shape": "TouchRequest"}),
        "request removed": without("Touch", "input"),
        "response added": trait("Ping", output={"shape": "GetThingResponse"}),
        "response removed": without("GetThing", "output"),
        "text of an operation changed": trait("Touch", documentation="other"),
    }


def _add_member(owner: str, name: str, shape: str, *, required: bool = False) -> Edit:
    def edit(toy: Toy) -> None:
        toy.members(owner)[name] = {"shape": shape}
        if required:
            toy.shapes[owner].setdefault("required", []).append(name)

    return edit


def _remove_member(owner: str, name: str) -> Edit:
    def edit(toy: Toy) -> None:
        del toy.members(owner)[name]
        required = toy.shapes[owner].get("required", [])
        toy.shapes[owner]["required"] = [each for each in required if each != name]

    return edit


def _rename_member(toy: Toy) -> None:
    toy.members("Nested")["location"] = toy.members("Nested").pop("s3Uri")


def _reverse_members(toy: Toy) -> None:
    members = toy.members("Nested")
    toy.shapes["Nested"]["members"] = dict(reversed(members.items()))


def _member_trait(owner: str, name: str, **changes: object) -> Edit:
    return lambda toy: toy.members(owner)[name].update(changes)


def _require_member(toy: Toy) -> None:
    toy.shapes["Nested"]["required"].append("s3Uri")


def _move_token(toy: Toy) -> None:
    del toy.members("CreateThingInput")["clientToken"]["idempotencyToken"]
    toy.members("CreateThingInput")["trace"]["idempotencyToken"] = True


def _move_to_query(toy: Toy) -> None:
    member = toy.members("CreateThingInput")["trace"]
    member.update(location="querystring", locationName="trace")


def _members() -> dict[str, Edit]:
    """Return the edits of members, but for their types."""
    return {
        "member added": _add_member("Nested", "extra", "Text"),
        "required member added": _add_member("Nested", "extra", "Text", required=True),
        "member added to a response": _add_member("PutBlobResponse", "extra", "Text"),
        "first enum and list added": _add_member("Old", "kinds", "Kinds"),
        "member removed": _remove_member("Nested", "s3Uri"),
        "required member removed": _remove_member("Nested", "farmId"),
        "member renamed": _rename_member,
        "members in another order": _reverse_members,
        "member required": _require_member,
        "member no longer required": lambda toy: toy.shapes["Nested"].update(required=[]),
        "idempotency token moved": _move_token,
        "idempotency token removed": lambda toy: toy.members("CreateThingInput")["clientToken"].pop(
            "idempotencyToken"
        ),
        "idempotency token added": _member_trait(
            "CreateThingInput", "trace", idempotencyToken=True
        ),
        "member deprecated": _member_trait("Nested", "s3Uri", deprecated=True),
        "member sensitive": _member_trait("Nested", "s3Uri", sensitive=True),
        "header becomes a query parameter": _move_to_query,
        "header renamed": _member_trait("CreateThingInput", "trace", locationName="x-trace"),
        "JSON key renamed": _member_trait("Everything", "wireNamed", locationName="wired"),
        "host label added": _member_trait("TouchRequest", "name", hostLabel=True),
        "text of a member changed": _member_trait("Nested", "s3Uri", documentation="other"),
        "union member added": _add_member("Choice", "extra", "Text"),
        "union member removed": _remove_member("Choice", "count"),
    }


def _names() -> dict[str, Edit]:
    """Return the edits of shapes' names."""

    def rename(old: str, new: str) -> Edit:
        return lambda toy: toy.rename(old, new)

    def rename_and_extend(toy: Toy) -> None:
        toy.rename("Nested", "Inner")
        toy.members("Inner")["extra"] = {"shape": "Text"}

    def join(toy: Toy) -> None:
        toy.members("Changing")["old"] = {"shape": "Shift"}
        toy.members("Shift").clear()
        toy.members("Shift").update(toy.shapes.pop("Old")["members"])

    def split(toy: Toy) -> None:
        toy.shapes["Other"] = copy.deepcopy(toy.shapes["Nested"])
        toy.members("Everything")["nested"] = {"shape": "Other"}

    def split_with_a_difference(toy: Toy) -> None:
        split(toy)
        toy.members("Other")["extra"] = {"shape": "Text"}

    return {
        "structure renamed": rename("Nested", "Inner"),
        "structure renamed and extended": rename_and_extend,
        "list renamed": rename("Nesteds", "Inners"),
        "list in a union renamed": rename("Names", "Titles"),
        "enum renamed": rename("Kind", "Sort"),
        "union renamed": rename("Choice", "Option"),
        "constrained text renamed": rename("Name", "Title"),
        "request shape renamed": rename("CreateThingInput", "NewThing"),
        "two structures become one": join,
        "structure split": split,
        "structure split with a difference": split_with_a_difference,
    }


def _types() -> dict[str, Edit]:
    """Return the edits of types."""

    def point(owner: str, name: str, shape: str) -> Edit:
        return lambda toy: toy.members(owner)[name].update(shape=shape)

    def become(name: str, **shape: object) -> Edit:
        return lambda toy: toy.shapes.update({name: shape})

    def union(toy: Toy) -> None:
        toy.shapes["Shift"]["union"] = True

    texts = {"key": {"shape": "Text"}, "value": {"shape": "Text"}}
    return {
        "integer to long": become("Count", type="long", min=0, max=100),
        "long to integer": become("Big", type="integer", min=1),
        "integer to string": point("Nested", "HTTPStatus", "Text"),
        "string to integer": point("Nested", "s3Uri", "Count"),
        "integer to double": become("Count", type="double"),
        "float to double": become("Ratio", type="double", max=1),
        "string to blob": point("Nested", "s3Uri", "Raw"),
        "boolean to string": point("Everything", "flag", "Text"),
        "timestamp to string": point("Everything", "moment", "Text"),
        "string to timestamp": point("Nested", "s3Uri", "Moment"),
        "timestamp format changed": become("IsoMoment", type="timestamp"),
        "string to enum": become("Plain", type="string", enum=["a", "b"]),
        "enum to string": become("Kind", type="string"),
        "enum to another enum": point("Nested", "grade", "Kind"),
        "scalar to list": point("Nested", "s3Uri", "Names"),
        "list to scalar": point("Everything", "names", "Text"),
        "list to map": become("Nesteds", type="map", **texts),
        "elements of a list changed": become("Words", type="list", member={"shape": "Count"}),
        "values of a map changed": become(
            "NameMap", type="map", key={"shape": "Name"}, value={"shape": "Count"}
        ),
        "structure to union": union,
        "union to structure": lambda toy: toy.shapes["Choice"].pop("union"),
        "structure to document": point("Everything", "nested", "Document"),
        "structure to map": become("Signal", type="map", **texts),
    }


def _values() -> dict[str, Edit]:
    """Return the edits of enums and constraints."""

    def words(name: str, *every: str) -> Edit:
        return lambda toy: toy.shapes[name].update(enum=list(every))

    def limit(name: str, **changes: object) -> Edit:
        return lambda toy: toy.shapes[name].update(changes)

    def without(name: str, key: str) -> Edit:
        return lambda toy: toy.shapes[name].pop(key)

    return {
        "enum value added": words("Grade", "A", "AB", "B"),
        "enum value removed": words("Grade", "A"),
        "enum value renamed": words("Grade", "A", "C"),
        "enum values in another order": words("Grade", "B", "A"),
        "maximum lowered": limit("Name", max=32),
        "maximum raised": limit("Name", max=128),
        "maximum removed": without("Name", "max"),
        "minimum raised": limit("Name", min=2),
        "minimum added": limit("Text", min=1),
        "minimum of 0 added to a length": limit("Text", min=0),
        "minimum of 0 removed from a number": without("Count", "min"),
        "range lowered": limit("Count", max=50),
        "pattern changed": limit("Name", pattern="[a-z]+"),
        "pattern added": limit("Text", pattern=".+"),
        "pattern removed": without("Name", "pattern"),
        "items of a list lowered": limit("Names", max=5),
        "entries of a map raised": limit("NameMap", max=50),
        "size of a blob raised": limit("Raw", max=32),
        "sensitive": limit("Text", sensitive=True),
        "no longer sensitive": without("Secret", "sensitive"),
        "text of a shape changed": limit("Name", documentation="other"),
    }


def _service() -> dict[str, Edit]:
    """Return the edits of the service, its errors, streams and pages."""

    def metadata(**changes: object) -> Edit:
        return lambda toy: toy.model["metadata"].update(changes)

    def error(**changes: object) -> Edit:
        return lambda toy: toy.shapes["ToyRefused"]["error"].update(changes)

    def pages(**changes: object) -> Edit:
        return lambda toy: toy.pages["ResetThings"].update(changes)

    def stream(toy: Toy) -> None:
        toy.members("GetThingResponse")["payload"] = {"shape": "Stream"}
        toy.shapes["GetThingResponse"]["payload"] = "payload"

    return {
        "protocol changed": metadata(protocol="json", jsonVersion="1.1"),
        "signing name changed": metadata(signingName="toys"),
        "status of an error changed": error(httpStatusCode=409),
        "error retryable": lambda toy: toy.shapes["ToyRefused"].update(
            retryable={"throttling": True}
        ),
        "member of an error added": lambda toy: toy.members("ToyRefused").update(
            reason={"shape": "Text"}
        ),
        "length of a stream required": lambda toy: toy.shapes["Stream"].update(requiresLength=True),
        "response becomes a stream": stream,
        "request is no longer a stream": lambda toy: toy.shapes["Stream"].pop("streaming"),
        "pages added": lambda toy: toy.pages.update(Ping={"input_token": "next"}),
        "pages removed": lambda toy: toy.pages.pop("ResetThings"),
        "pages changed": pages(result_key="things"),
    }


def _problems() -> dict[str, Edit]:
    """Return the edits that leave an operation without a contract."""

    def add(toy: Toy, name: str, output: Description) -> None:
        toy.shapes[f"{name}Output"] = output
        toy.operations[name] = {
            **toy.operations["Ping"],
            "name": name,
            "output": {"shape": f"{name}Output"},
        }

    def events(toy: Toy) -> None:
        toy.shapes["Events"] = {"type": "structure", "members": {}, "eventstream": True}
        members = {"events": {"shape": "Events"}}
        add(toy, "Subscribe", {"type": "structure", "members": members})

    def unknown_type(toy: Toy) -> None:
        toy.shapes["Price"] = {"type": "bigdecimal"}
        toy.members("TouchRequest")["price"] = {"shape": "Price"}

    def missing_shape(toy: Toy) -> None:
        members = {"it": {"shape": "NoSuchShape"}}
        add(toy, "Broken", {"type": "structure", "members": members})

    def two_names(toy: Toy) -> None:
        members = {name: {"shape": "Text"} for name in ("someThing", "SomeThing")}
        add(toy, "Collide", {"type": "structure", "members": members})

    def three(toy: Toy) -> None:
        events(toy)
        unknown_type(toy)
        two_names(toy)

    return {
        "operation with an event stream": events,
        "unknown type in a released operation": unknown_type,
        "operation without a shape": missing_shape,
        "operation with one name for two members": two_names,
        "three problems": three,
    }


EDITS: Final[dict[str, Edit]] = {
    **_operations(),
    **_members(),
    **_names(),
    **_types(),
    **_values(),
    **_service(),
    **_problems(),
}
