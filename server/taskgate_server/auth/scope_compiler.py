"""Compiles the `Scope` of an operation's requests from the model and the contract."""

from __future__ import annotations

from dataclasses import dataclass, replace

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from taskgate_server.auth.identifiers import Identifier, Place, ServiceIdentifiers
from taskgate_server.auth.scopes import MAX_ID_LENGTH, Hop, Leaf, Scope
from taskgate_server.aws import model, naming
from taskgate_server.rpc.fields import element, message_of


@dataclass(frozen=True, slots=True)
class _Position:
    """Where the compiler is in a request."""

    members: tuple[str, ...] = ()
    """As in `Place.path`."""
    text: str = ""
    """For people: `identifiers[].job_id`."""
    required: bool = False
    above: frozenset[str] = frozenset()
    """The structures around this place."""

    def into(self, member: str, name: str, *, required: bool) -> _Position:
        """The position of a member."""
        text = f"{self.text}.{name}" if self.text else name
        return replace(self, members=(*self.members, member), text=text, required=required)

    def within(self, part: str) -> _Position:
        """The position of the items, keys or values of a container."""
        return replace(self, members=(*self.members, part), text=f"{self.text}{part}")


@dataclass(frozen=True, slots=True)
class ScopeCompiler:
    """Compiles the scope of one operation.

    Args:
        identifiers: of the AWS service.
        operation: the operation.
        labels: members of the request that are in the route.
    """

    identifiers: ServiceIdentifiers
    operation: model.OperationModel
    labels: frozenset[str]

    def compile(self, descriptor: Descriptor) -> Scope | None:
        """Return the scope of the whole request; None if it identifies nothing but its route.

        Args:
            descriptor: of the request.

        Raises:
            TypeError: an identifier is where no rule reaches it.
        """
        shape = self.operation.input_shape
        return None if shape is None else self._structure(shape, descriptor, _Position())

    def _structure(
        self, shape: model.StructureShape, descriptor: Descriptor, position: _Position
    ) -> Scope | None:
        if shape.name in position.above:  # filters in filters: they identify nothing
            return None
        inside = replace(position, above=position.above | {shape.name})
        scope = Scope()
        fields = {each.json_name: each for each in descriptor.fields}
        for member, target in shape.members.items():
            if member in fields and not (inside.members == () and member in self.labels):
                required = model.is_required(shape, member)
                below = inside.into(member, fields[member].name, required=required)
                self._add(scope, target, fields[member], below)
        scope.leaves.sort(key=self._order)
        return scope if scope.leaves or scope.nested else None

    def _order(self, leaf: Leaf) -> int:
        """Ancestors first; last those whose type only the value tells."""
        kind = leaf.identifier.type
        return self.identifiers.depths.get(kind, 0) if kind else len(self.identifiers.parents)

    def _add(
        self, scope: Scope, shape: model.Shape, held: FieldDescriptor, position: _Position
    ) -> None:
        """Add what one field identifies."""
        if isinstance(shape, model.ListShape | model.MapShape) and not held.is_repeated:
            self._add_wrapped(scope, shape, held, position)
        elif isinstance(shape, model.MapShape):
            self._add_text(scope, shape.key, held, position.within("{key}"))
            self._add_structure(scope, shape.value, held, position.within("{}"), "map")
        elif isinstance(shape, model.ListShape):
            add = self._add_text if _is_text(shape.member) else self._add_items
            add(scope, shape.member, held, position.within("[]"))
        elif _is_text(shape):
            self._add_text(scope, shape, held, position)
        else:
            self._add_structure(scope, shape, held, position, "message")

    def _add_text(
        self, scope: Scope, shape: model.Shape, held: FieldDescriptor, position: _Position
    ) -> None:
        place = Place(path=position.members, shape=shape)
        identifier = self.identifiers.classify(self.operation, place)
        if isinstance(identifier, Identifier):
            filters = self.identifiers.table.filters.get(self.operation.name, ())
            scope.leaves.append(
                Leaf(
                    field=held.name,
                    place=position.text,
                    repeated=held.is_repeated,
                    required=position.required,
                    narrows=position.members[0] in filters,
                    max_length=min(shape.metadata.get("max", MAX_ID_LENGTH), MAX_ID_LENGTH),
                    identifier=identifier,
                    identifiers=self.identifiers,
                )
            )

    def _add_items(
        self, scope: Scope, shape: model.Shape, held: FieldDescriptor, position: _Position
    ) -> None:
        self._add_structure(scope, shape, held, position, "list")

    def _add_structure(
        self,
        scope: Scope,
        shape: model.Shape,
        held: FieldDescriptor,
        position: _Position,
        hop: Hop,
    ) -> None:
        if not isinstance(shape, model.StructureShape):
            self._refuse_identifiers(shape, position)
            return
        if model.is_document(shape):
            return
        inner = self._structure(shape, message_of(element(held)), position)
        if inner is not None:
            scope.nested.append((held.name, hop, inner))

    def _add_wrapped(
        self, scope: Scope, shape: model.Shape, held: FieldDescriptor, position: _Position
    ) -> None:
        """Add what a list or map in a union identifies: it is in a message of its own."""
        inner = Scope()
        self._add(inner, shape, message_of(held).fields_by_name[naming.WRAPPED_VALUES], position)
        if inner.leaves or inner.nested:
            scope.nested.append((held.name, "message", inner))

    def _refuse_identifiers(self, shape: model.Shape, position: _Position) -> None:
        """Raise TypeError for an identifier where neither model has had one so far."""
        place = Place(path=position.members, shape=shape)
        if _is_text(shape) and self.identifiers.classify(self.operation, place) is not None:
            raise TypeError(f"{self.operation.name}: no rule finds the ids in {position.text}")


def _is_text(shape: model.Shape) -> bool:
    return isinstance(shape, model.StringShape) and not model.enum_values(shape)
