"""The environments of Deadline Cloud's queues, which may define parameters of jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.generic import perform_plain, require_resource
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.reading import reading
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.deadline.behaviour import OPERATIONS
from taskgate_emulator.deadline.templates import Document, environment_name

__all__ = ["environments_of"]

_ENVIRONMENT = load_catalog("deadline").resources["QueueEnvironment"]


@OPERATIONS.register("CreateQueueEnvironment")
def create_queue_environment(call: Call) -> Record:
    """Create an environment; its template has its name."""
    return _perform(call, call.params)


@OPERATIONS.register("UpdateQueueEnvironment")
def update_queue_environment(call: Call) -> Record:
    """Update an environment, and its name if the template has another."""
    record = require_resource(call.account, _ENVIRONMENT, call.params)
    return _perform(call, {**record, **call.params})


def environments_of(account: Account, queue: Key) -> list[Document]:
    """Return the environment templates of a queue in the order of their activation.

    CreateQueueEnvironment in AWS's API reference: priority 0 is activated first, and of two equal
    priorities the one that was created first.
    """
    records = [record for _, record in account.table(_ENVIRONMENT.kind).records(*queue)]
    records.sort(key=lambda record: record["priority"])
    return [Document(record["template"], record["templateType"]) for record in records]


def _perform(call: Call, merged: Record) -> Record:
    with reading("template"):
        name = environment_name(Document(merged["template"], merged["templateType"]))
    params: dict[str, Any] = {**call.params, "name": name}
    return perform_plain(replace(call, params=params))
