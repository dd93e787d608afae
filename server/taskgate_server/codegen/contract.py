"""Reads an AWS service model into a `Contract`: what the generated proto file will say, unnumbered.

Counterparts: `lock` gives the numbers, `render` the text. The rules are a table by shape type; an
operation's or a member's name is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from taskgate_server.aws import model, naming
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.codegen import facts

TIMESTAMP = "google.protobuf.Timestamp"
DOCUMENT = "google.protobuf.Value"

SCALARS = {
    "string": "string",
    "integer": "int32",
    "long": "int64",
    # JSON carries more digits than 32 bits hold, and boto3 gives a double: nothing is rounded.
    "float": "double",
    "double": "double",
    "boolean": "bool",
    "blob": "bytes",
}


class UnsupportedModelError(Exception):
    """The AWS model has something that these rules have no answer for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a message; `type` is the whole declaration before the name."""

    name: str
    member: str | None
    """The AWS member; None for a field of Taskgate's own."""
    type: str
    comment: tuple[str, ...] = ()
    in_oneof: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; the fields of a union, but for Taskgate's own map, are in one oneof."""

    name: str
    comment: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum; `words` are AWS's, without the zero value."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """An RPC; its messages are named after it."""

    name: str
    comment: tuple[str, ...]
    client_streams: bool
    server_streams: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything that one generated proto file declares."""

    spec: ServiceSpec
    rpcs: list[Rpc] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)


def read_contract(spec: ServiceSpec, service: model.ServiceModel) -> Contract:
    """The contract of one AWS service.

    Raises:
        UnsupportedModelError: a shape type without a rule, or two shapes that need one name.
    """
    return _Reader(spec, service).read()


class _Reader:
    def __init__(self, spec: ServiceSpec, service: model.ServiceModel) -> None:
        self.contract = Contract(spec=spec)
        self.service = service
        self.origin: dict[str, str] = {}  # message or enum name -> the AWS shape behind it

    def read(self) -> Contract:
        for operation in model.operations(self.service):
            self.contract.rpcs.append(
                Rpc(
                    name=operation.name,
                    comment=facts.operation(self.contract.spec, self.service, operation),
                    client_streams=model.streaming_member(operation.input_shape) is not None,
                    server_streams=model.streaming_member(operation.output_shape) is not None,
                )
            )
            self.add_structure(naming.request_name(operation.name), operation.input_shape)
            self.add_structure(naming.response_name(operation.name), operation.output_shape)
        return self.contract

    def claim(self, name: str, shape: model.Shape | None) -> bool:
        """Whether `name` is still to be declared; a second owner is an error."""
        owner = shape.name if shape else ""
        known = self.origin.setdefault(name, owner)
        if known != owner:
            raise UnsupportedModelError(f"{name} would be both {known or 'empty'} and {owner}")
        return name not in self.contract.messages and name not in self.contract.enums

    def add_structure(self, name: str, shape: model.StructureShape | None) -> None:
        if not self.claim(name, shape):
            return
        self.contract.messages[name] = Message(name=name)  # first, for shapes that hold themselves
        if shape is None:
            return
        union = model.is_union(shape)
        fields = [
            Field(
                name=naming.field_name(member),
                member=member,
                type=self.member_type(target, in_union=union),
                comment=facts.member(shape, member, target),
                in_oneof=union,
            )
            for member, target in shape.members.items()
        ]
        if union:
            unknown = Field(name=naming.UNKNOWN_MEMBER, member=None, type="string", in_oneof=True)
            fields.append(unknown)
        own = [each for each in shape.members.values() if not (union and _is_container(each))]
        if any(_holds_enum(each) for each in own):
            fields.append(_unrecognized_values())
        if any(_is_container(each) for each in own):
            fields.append(_empty_members())
        self.add_message(name, fields)

    def add_message(self, name: str, fields: list[Field]) -> None:
        names = [field.name for field in fields]
        if len(set(names)) != len(names):
            raise UnsupportedModelError(f"two fields of {name} share a name: {sorted(names)}")
        self.contract.messages[name] = Message(name=name, fields=tuple(fields))

    def add_wrapper(self, shape: model.Shape) -> str:
        if self.claim(shape.name, shape):
            self.contract.messages[shape.name] = Message(name=shape.name)
            values = Field(name=naming.WRAPPED_VALUES, member=None, type=self.container(shape))
            extra = [_unrecognized_values()] if _holds_enum(shape) else []
            self.add_message(shape.name, [values, *extra])
        return shape.name

    def add_enum(self, shape: model.Shape) -> str:
        if self.claim(shape.name, shape):
            self.contract.enums[shape.name] = Enum(
                name=shape.name, words=tuple(model.enum_values(shape))
            )
        return shape.name

    def member_type(self, shape: model.Shape, *, in_union: bool) -> str:
        """A member's declaration. Scalars keep presence: absent, zero and empty differ."""
        if _is_container(shape):
            return self.add_wrapper(shape) if in_union else self.container(shape)
        name = self.value_type(shape)
        has_presence = in_union or shape.type_name in ("structure", "timestamp")
        return name if has_presence else f"optional {name}"

    def container(self, shape: model.Shape) -> str:
        if isinstance(shape, model.ListShape):
            return f"repeated {self.value_type(shape.member)}"
        if not isinstance(shape, model.MapShape):
            raise UnsupportedModelError(f"{shape.name} is neither list nor map")
        if shape.key.type_name != "string":
            raise UnsupportedModelError(f"{shape.name} has keys that are not strings")
        return f"map<string, {self.value_type(shape.value)}>"

    def value_type(self, shape: model.Shape) -> str:
        """The type of one value. A list or map cannot be one in proto, so it is wrapped."""
        if _is_container(shape):
            return self.add_wrapper(shape)
        if isinstance(shape, model.StructureShape):
            if model.is_document(shape):
                return DOCUMENT
            self.add_structure(shape.name, shape)
            return shape.name
        if shape.type_name == "timestamp":
            return TIMESTAMP
        if model.enum_values(shape):
            return self.add_enum(shape)
        try:
            return SCALARS[shape.type_name]
        except KeyError:
            raise UnsupportedModelError(
                f"no rule for shape type {shape.type_name} of {shape.name}"
            ) from None


def _holds_enum(shape: model.Shape) -> bool:
    """Whether a field of this shape holds enum words itself, not in a message of its own."""
    if isinstance(shape, model.ListShape):
        return bool(model.enum_values(shape.member))
    if isinstance(shape, model.MapShape):
        return bool(model.enum_values(shape.value))
    return bool(model.enum_values(shape))


def _is_container(shape: model.Shape) -> bool:
    return isinstance(shape, model.ListShape | model.MapShape)


def _empty_members() -> Field:
    return Field(
        name=naming.EMPTY_MEMBERS,
        member=None,
        type="repeated string",
        comment=("Fields that are there and empty, which protobuf cannot tell from absent ones.",),
    )


def _unrecognized_values() -> Field:
    return Field(
        name=naming.UNRECOGNIZED_VALUES,
        member=None,
        type="map<string, string>",
        comment=("Enum words that this contract does not know: field path to AWS's text.",),
    )
