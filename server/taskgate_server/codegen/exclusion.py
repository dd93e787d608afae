"""Plans the contract of a model, without the operations that cannot be in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from taskgate_server.aws import model
from taskgate_server.codegen import collisions
from taskgate_server.codegen.contract import Contract, Rpc, UnsupportedModelError, read_contract
from taskgate_server.codegen.history import extend_contract
from taskgate_server.codegen.lock import Lock
from taskgate_server.services.spec import ServiceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A contract and its numbers."""

    contract: Contract
    lock: Lock


def plan(spec: ServiceSpec, service: model.ServiceModel, lock: Lock) -> Plan:
    """Return the contract of a model after earlier ones, without the lock's excluded operations.

    Raises:
        UnsupportedModelError: there is no rule for a part of the model.
    """
    names = [name for name in service.operation_names if name not in lock.excluded]
    served = model.with_operations(service, names)
    contract = extend_contract(read_contract(spec, served), lock)
    collisions.check(contract)
    lock = copy.deepcopy(lock)
    lock.update(contract)
    return Plan(contract=contract, lock=lock)


def plan_without_problems(
    spec: ServiceSpec, service: model.ServiceModel, lock: Lock, released: Sequence[Rpc] = ()
) -> Plan:
    """Return the contract of a model; the lock has the operations excluded from it, with reasons.

    Args:
        spec: the service.
        service: its model.
        lock: earlier contracts. What they excluded is tried again.
        released: the RPCs of the last release. If others have a problem together with them, the
            others are excluded. They may not change what they stream.

    Raises:
        UnsupportedModelError: no operation is left.
    """
    known = {rpc.name: rpc for rpc in released}
    names = sorted(service.operation_names, key=lambda name: (name not in known, name))

    def try_plan(operations: Sequence[str], excluded: dict[str, str]) -> Plan:
        served = model.with_operations(service, operations)
        made = plan(spec, served, Lock(lock.messages, lock.enums, lock.shapes))
        for rpc in made.contract.rpcs:
            _check_streams(known.get(rpc.name), rpc)
        made.lock.excluded = excluded
        return made

    kept, excluded = _separate(names, lambda operations: try_plan(operations, {}))
    if not kept:
        raise UnsupportedModelError(f"{spec.name}: {next(iter(excluded.values()), 'is empty')}")
    return try_plan(kept, dict(sorted(excluded.items())))


def _check_streams(old: Rpc | None, new: Rpc) -> None:
    if old is None:
        return
    if (old.client_streams, old.server_streams) != (new.client_streams, new.server_streams):
        raise UnsupportedModelError(f"{new.name} would stream other than in the last release")


def _separate(
    names: Sequence[str], check: Callable[[list[str]], object]
) -> tuple[list[str], dict[str, str]]:
    """Return the names that pass a check together, and the reason of each that does not."""
    kept: list[str] = []
    excluded: dict[str, str] = {}
    groups = [list(names)]
    while groups:
        group = groups.pop()
        try:
            check(kept + group)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the model of one operation
            if len(group) == 1:
                excluded[group[0]] = str(error) or type(error).__name__
            elif group:
                half = len(group) // 2
                groups += [group[half:], group[:half]]
        else:
            kept += group
    return kept, excluded
