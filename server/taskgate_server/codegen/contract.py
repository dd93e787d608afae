"""Reads an AWS service model into a `Contract`: what the generated proto file will say, unnumbered.

Counterparts: `lock` gives the numbers, `render` the text. The rules are a table by shape type; an
operation's or a member's name is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from taskgate_server.aws import model, naming
from taskgate_server.codegen import facts
from taskgate_server.services.spec import ServiceSpec

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


OWN_FIELDS = (naming.UNKNOWN_MEMBER, naming.UNRECOGNIZED_VALUES, naming.EMPTY_MEMBERS)
"""Taskgate's own fields of structures; no AWS member may have one of these names."""


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

    @property
    def is_union(self) -> bool:
        """Whether exactly one of the fields is set."""
        return any(each.in_oneof for each in self.fields)

    @property
    def wrapped(self) -> Field | None:
        """The list or map that the message is there for; None when it is a structure's."""
        return next(
            (e for e in self.fields if e.member is None and e.name == naming.WRAPPED_VALUES), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum; `words` are AWS's, without the zero value."""

    name: str
    words: tuple[str, ...]
    gone: tuple[str, ...] = ()
    """Words of earlier models."""


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
        UnsupportedModelError: a shape type without a rule, or two things that need one name.
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
            raise UnsupportedModelError(
                f"{name} would be both {known or 'empty'} and {owner or 'empty'}"
            )
        return name not in self.contract.messages and name not in self.contract.enums

    def add_structure(self, name: str, shape: model.StructureShape | None) -> None:
        if not self.claim(name, shape):
            return
        self.contract.messages[name] = Message(name=name)  # first, for shapes that hold themselves
        if shape is None:
            return
        union = model.is_union(shape)
        fields = [
            self.member_field(shape, member, target, in_union=union)
            for member, target in shape.members.items()
        ]
        if union:
            unknown = Field(name=naming.UNKNOWN_MEMBER, member=None, type="string", in_oneof=True)
            fields.append(unknown)
        own = [each for each in shape.members.values() if not (union and _is_container(each))]
        if any(_holds_enum(each) for each in own):
            fields.append(unrecognized_values())
        if any(_is_container(each) for each in own):
            fields.append(empty_members())
        self.contract.messages[name] = Message(name=name, fields=tuple(fields))

    def member_field(
        self, owner: model.StructureShape, member: str, target: model.Shape, *, in_union: bool
    ) -> Field:
        name = naming.field_name(member)
        where = f"{owner.name}.{member}"
        if name in OWN_FIELDS or (in_union and name == naming.UNION_ONEOF):
            raise UnsupportedModelError(f"{where}: {name} is a name of Taskgate's own")
        if target.serialization.get("eventstream"):
            raise UnsupportedModelError(f"{where}: no rule for the event stream {target.name}")
        return Field(
            name=name,
            member=member,
            type=self.member_type(target, where, in_union=in_union),
            comment=facts.member(owner, member, target),
            in_oneof=in_union,
        )

    def add_wrapper(self, shape: model.Shape, where: str) -> str:
        if self.claim(shape.name, shape):
            self.contract.messages[shape.name] = Message(name=shape.name)
            type_ = self.container(shape, where)
            fields = [Field(name=naming.WRAPPED_VALUES, member=None, type=type_)]
            if _holds_enum(shape):
                fields.append(unrecognized_values())
            self.contract.messages[shape.name] = Message(name=shape.name, fields=tuple(fields))
        return shape.name

    def add_enum(self, shape: model.Shape) -> str:
        if self.claim(shape.name, shape):
            self.contract.enums[shape.name] = Enum(
                name=shape.name, words=tuple(model.enum_values(shape))
            )
        return shape.name

    def member_type(self, shape: model.Shape, where: str, *, in_union: bool) -> str:
        """A member's declaration. Scalars keep presence: absent, zero and empty differ."""
        if _is_container(shape):
            return self.add_wrapper(shape, where) if in_union else self.container(shape, where)
        name = self.value_type(shape, where)
        has_presence = in_union or shape.type_name in ("structure", "timestamp")
        return name if has_presence else f"optional {name}"

    def container(self, shape: model.Shape, where: str) -> str:
        if isinstance(shape, model.ListShape):
            return f"repeated {self.value_type(shape.member, where)}"
        if not isinstance(shape, model.MapShape):
            raise UnsupportedModelError(f"{where}: {shape.name} is neither list nor map")
        if shape.key.type_name != "string":
            raise UnsupportedModelError(f"{where}: {shape.name} has keys that are not strings")
        return f"map<string, {self.value_type(shape.value, where)}>"

    def value_type(self, shape: model.Shape, where: str) -> str:
        """The type of one value. A list or map cannot be one in proto, so it is wrapped."""
        if _is_container(shape):
            return self.add_wrapper(shape, where)
        if isinstance(shape, model.StructureShape):
            if model.is_document(shape):
                return DOCUMENT
            self.add_structure(shape.name, shape)
            return shape.name
        if shape.type_name == "timestamp":
            return TIMESTAMP
        if model.enum_values(shape):
            return self.add_enum(shape)
        if shape.type_name not in SCALARS:
            raise UnsupportedModelError(
                f"{where}: no rule for shape type {shape.type_name} of {shape.name}"
            )
        return SCALARS[shape.type_name]


def _holds_enum(shape: model.Shape) -> bool:
    """Whether a field of this shape holds enum words itself, not in a message of its own."""
    if isinstance(shape, model.ListShape):
        return bool(model.enum_values(shape.member))
    if isinstance(shape, model.MapShape):
        return bool(model.enum_values(shape.value))
    return bool(model.enum_values(shape))


def _is_container(shape: model.Shape) -> bool:
    return isinstance(shape, model.ListShape | model.MapShape)


def empty_members() -> Field:
    """Taskgate's own field of a message with lists or maps."""
    return Field(
        name=naming.EMPTY_MEMBERS,
        member=None,
        type="repeated string",
        comment=("Fields that are there and empty, which protobuf cannot tell from absent ones.",),
    )


def unrecognized_values() -> Field:
    """Taskgate's own field of a message with enums."""
    return Field(
        name=naming.UNRECOGNIZED_VALUES,
        member=None,
        type="map<string, string>",
        comment=("Enum words that this contract does not know: field path to AWS's text.",),
    )
