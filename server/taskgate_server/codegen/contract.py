"""Converts an AWS service model to a `Contract`: the content of a proto file without numbers.

`lock` assigns the numbers and `render` writes the text. The rules depend on shape types only, never
on names of operations or members.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    # JSON numbers exceed 32 bits, and boto3 parses them as doubles: nothing is rounded.
    "float": "double",
    "double": "double",
    "boolean": "bool",
    "blob": "bytes",
}


OWN_FIELDS = (naming.UNKNOWN_MEMBER, naming.UNRECOGNIZED_VALUES, naming.EMPTY_MEMBERS)
"""Taskgate's own fields of messages; no AWS member may have one of these names."""


class UnsupportedModelError(Exception):
    """There is no rule for a part of the AWS model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a message; `type` is the declaration before the name."""

    name: str
    member: str | None
    """The AWS member; None for a field of Taskgate's own."""
    type: str
    comment: tuple[str, ...] = ()
    in_oneof: bool = False


UNRECOGNIZED_VALUES = Field(
    name=naming.UNRECOGNIZED_VALUES,
    member=None,
    type="map<string, string>",
    comment=("Unknown enum values: field path to AWS's text.",),
)
"""Taskgate's own field of a message with enums."""

EMPTY_MEMBERS = Field(
    name=naming.EMPTY_MEMBERS,
    member=None,
    type="repeated string",
    comment=("Names of lists and maps that are present but empty.",),
)
"""Taskgate's own field of a message with lists or maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message. The fields of a union are in a oneof, except for Taskgate's own map."""

    name: str
    fields: tuple[Field, ...] = ()
    shape: str = ""
    """AWS's shape, if it may have another name."""

    @property
    def is_union(self) -> bool:
        """Return whether the message is a union."""
        return any(each.in_oneof for each in self.fields)

    @property
    def oneof(self) -> str:
        """The name of a union's oneof."""
        is_taken = any(each.name == naming.UNION_ONEOF for each in self.fields)
        return naming.UNION_ONEOF_BESIDE_VALUE if is_taken else naming.UNION_ONEOF

    @property
    def wrapped(self) -> Field | None:
        """Return the list or map that the message wraps; None for a structure."""
        return next(
            (e for e in self.fields if e.member is None and e.name == naming.WRAPPED_VALUES), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum; `words` are AWS's values."""

    name: str
    words: tuple[str, ...]
    removed: tuple[str, ...] = ()
    """Words of earlier models only."""
    shape: str = ""
    """AWS's shape, if it may have another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """An RPC. Its messages are named after it."""

    name: str
    comment: tuple[str, ...]
    client_streams: bool
    server_streams: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The declarations of a generated proto file."""

    spec: ServiceSpec
    rpcs: list[Rpc] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)


def read_contract(
    spec: ServiceSpec,
    service: model.ServiceModel,
    operations: Iterable[model.OperationModel] | None = None,
) -> Contract:
    """Return the contract of an AWS service, or of some of its operations.

    Raises:
        UnsupportedModelError: there is no rule for a shape, or two shapes need the same name.
    """
    found = model.operations(service) if operations is None else operations
    return _Reader(spec, service).read(found)


class _Reader:
    def __init__(self, spec: ServiceSpec, service: model.ServiceModel) -> None:
        self.contract = Contract(spec=spec)
        self.service = service
        self.origin: dict[str, str] = {}  # message or enum name -> the AWS shape behind it

    def read(self, operations: Iterable[model.OperationModel]) -> Contract:
        for operation in operations:
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
        """Return whether a name is not declared yet; raise for a second owner."""
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
        self.contract.messages[name] = Message(name=name)  # first, for recursive shapes
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
        if any(_has_enum_values(each) for each in own):
            fields.append(UNRECOGNIZED_VALUES)
        if any(_is_container(each) for each in own):
            fields.append(EMPTY_MEMBERS)
        self.contract.messages[name] = Message(name=name, fields=tuple(fields))

    def member_field(
        self, owner: model.StructureShape, member: str, target: model.Shape, *, in_union: bool
    ) -> Field:
        name = naming.field_name(member)
        where = f"{owner.name}.{member}"
        if name in OWN_FIELDS:
            raise UnsupportedModelError(f"{where}: {name} is a name of Taskgate's own")
        if model.is_event_stream(target):
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
            if _has_enum_values(shape):
                fields.append(UNRECOGNIZED_VALUES)
            self.contract.messages[shape.name] = Message(name=shape.name, fields=tuple(fields))
        return shape.name

    def add_enum(self, shape: model.Shape, where: str) -> str:
        words = model.enum_values(shape)
        # A member may restrict a string that many share; then the enum is the member's own.
        is_shared = words == model.enum_values(self.service.shape_for(shape.name))
        name = shape.name if is_shared else _joined(where)
        if self.claim(name, shape):
            self.contract.enums[name] = Enum(name=name, words=tuple(words))
        return name

    def member_type(self, shape: model.Shape, where: str, *, in_union: bool) -> str:
        """Return a member's declaration. Scalars have presence: absent, zero and empty differ."""
        if _is_container(shape):
            return self.add_wrapper(shape, where) if in_union else self.container(shape, where)
        name = self.value_type(shape, where)
        has_presence = in_union or name == DOCUMENT or shape.type_name in ("structure", "timestamp")
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
        """Return the type of a value. Nested lists and maps are wrapped in messages."""
        if _is_container(shape):
            return self.add_wrapper(shape, where)
        if model.is_document(shape):
            return DOCUMENT
        if isinstance(shape, model.StructureShape):
            self.add_structure(shape.name, shape)
            return shape.name
        if shape.type_name == "timestamp":
            return TIMESTAMP
        if model.enum_values(shape):
            return self.add_enum(shape, where)
        if shape.type_name not in SCALARS:
            raise UnsupportedModelError(
                f"{where}: no rule for shape type {shape.type_name} of {shape.name}"
            )
        return SCALARS[shape.type_name]


def _has_enum_values(shape: model.Shape) -> bool:
    """Return whether a field of this shape has enum values itself, not in a nested message."""
    if isinstance(shape, model.ListShape):
        return bool(model.enum_values(shape.member))
    if isinstance(shape, model.MapShape):
        return bool(model.enum_values(shape.value))
    return bool(model.enum_values(shape))


def _joined(where: str) -> str:
    """Return `ExportApiRequestOutputType` for `ExportApiRequest.outputType`."""
    owner, _, member = where.partition(".")
    return f"{owner}{member[:1].upper()}{member[1:]}"


def _is_container(shape: model.Shape) -> bool:
    return isinstance(shape, model.ListShape | model.MapShape)
