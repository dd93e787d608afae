"""Workflows of HealthOmics and their versions: CREATING first, then ACTIVE or FAILED.

The definition is a zip in the call. Definitions in S3 or a repository return 501, as the emulator
has neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from taskgate_emulator.core.errors import AwsError, OperationNotEmulatedError
from taskgate_emulator.core.generic import generic_behaviour
from taskgate_emulator.core.operations import Call, Computation
from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import planned
from taskgate_emulator.omics.behaviour import OPERATIONS
from taskgate_emulator.workflows.reading import Reading, Readings

__all__ = ["READINGS", "WORKFLOW", "WORKFLOW_VERSION", "reading_of", "store_definition"]

READINGS = Readings()
"""A cache by digest of what definitions say, which is the same for all accounts."""

WORKFLOW, WORKFLOW_VERSION = "omics.Workflow", "omics.WorkflowVersion"
_DEFINITION = "omics.Definition"
"""The zips, apart from the frequently read rows; the key is workflow id and version name or ``."""

_CREATING_SECONDS = 3.0
_UNSUPPORTED_SOURCES = (
    "definitionRepository",
    "definitionUri",
    "containerRegistryMapUri",
    "parameterTemplatePath",
    "readmePath",
    "readmeUri",
)
"""Params that refer to S3 or a repository."""


@OPERATIONS.register("CreateWorkflow")
def create_workflow(call: Call) -> Record:
    """Create a workflow."""
    return _create(call, WORKFLOW)


@OPERATIONS.register("CreateWorkflowVersion")
def create_workflow_version(call: Call) -> Record:
    """Create a version of a workflow."""
    return _create(call, WORKFLOW_VERSION)


@OPERATIONS.compute_before("CreateWorkflow", "CreateWorkflowVersion")
def read_new_definition(_account: Account, params: Mapping[str, Any]) -> Computation | None:
    """Return what reads the definition of a new workflow outside of the event loop."""
    if "definitionZip" not in params:
        return None
    reading = _new_reading(params)
    return None if READINGS.is_known(reading) else partial(READINGS.prepare, reading)


def reading_of(
    account: Account, workflow_id: str, version: str | None, parameters: Mapping[str, Any]
) -> Reading | None:
    """Return the reading for a run of a workflow or version, or None if it has no definition."""
    stored = account.table(_DEFINITION).record((workflow_id, version or ""))
    if stored is None:
        return None
    return Reading(
        content=stored["content"],
        engine=stored.get("engine"),
        main=stored.get("main"),
        parameters=parameters,
    )


def store_definition(
    account: Account, key: Key, content: bytes, *, engine: str | None, main: str | None
) -> None:
    """Store the zip of a workflow or version.

    Args:
        account: that has the workflow.
        key: of the workflow or version.
        content: the zip.
        engine: from the params of its creation.
        main: from the params of its creation.
    """
    record = {"content": content, "engine": engine, "main": main}
    account.put(_DEFINITION, _definition_key(key), record)


@OPERATIONS.on_change(WORKFLOW)
@OPERATIONS.on_change(WORKFLOW_VERSION)
def delete_definition(account: Account, transition: Transition) -> None:
    """Delete the zip of a deleted workflow or version."""
    if transition.after is None:
        account.delete(_DEFINITION, _definition_key(transition.key))


def _create(call: Call, kind: str) -> Record:
    params, account = call.params, call.account
    for name in _UNSUPPORTED_SOURCES:
        if name in params:
            raise OperationNotEmulatedError("omics", f"{call.operation.name} by {name}")
    if "definitionZip" not in params:
        message = "One of definitionZip, definitionUri and definitionRepository is required"
        raise AwsError("ValidationException", message)
    content: bytes = params["definitionZip"]
    members, outcome = _inspect_definition(content, params)
    plain = generic_behaviour(call.operation, lambda _name: None)
    if plain is None:
        raise OperationNotEmulatedError("omics", call.operation.name)
    given = {name: value for name, value in params.items() if name != "definitionZip"}
    record = plain(replace(call, params={**given, **members, "status": "CREATING"}))
    key = (record["id"],) if kind == WORKFLOW else (record["workflowId"], record["versionName"])
    store_definition(account, key, content, engine=params.get("engine"), main=params.get("main"))
    plan = [(_CREATING_SECONDS, outcome)]
    account.put(kind, key, record, planned(account.now, account.speed, plan))
    return record


def _inspect_definition(
    content: bytes, params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members of a new workflow, and those of its status after creation."""
    # Shortened to the maximum length of a digest in the model.
    members: dict[str, Any] = {
        "digest": f"sha256:{sha256(content).hexdigest()[:57]}",
        "_templateGiven": "parameterTemplate" in params,
    }
    result = READINGS.read(_new_reading(params))
    if result.engine is not None:
        members |= {"engine": result.engine, "main": result.main}
    if result.error is not None:
        return members, {"status": "FAILED", "statusMessage": result.error[:1_000]}
    template = params.get("parameterTemplate") or result.template
    return members, {"status": "ACTIVE", "parameterTemplate": template}


def _new_reading(params: Mapping[str, Any]) -> Reading:
    return Reading(
        content=params["definitionZip"], engine=params.get("engine"), main=params.get("main")
    )


def _definition_key(key: Key) -> Key:
    return key if len(key) > 1 else (*key, "")
