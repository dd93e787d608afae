"""Definitions of HealthOmics workflows that are in S3: they become part of the call."""

from __future__ import annotations

from dataclasses import replace

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.operations import Call
from taskgate_emulator.omics.behaviour import OPERATIONS
from taskgate_emulator.omics.store_jobs import split_uri


@OPERATIONS.prepare("CreateWorkflow", "CreateWorkflowVersion")
def read_definition(call: Call) -> Call:
    """Replace `definitionUri` by the zip that it names.

    Raises:
        AwsError: the object does not exist.
    """
    uri, objects = call.params.get("definitionUri"), call.account.objects
    if uri is None or objects is None:
        return call
    content = objects.read_object(*split_uri(uri))
    if content is None:
        raise AwsError("ValidationException", f"There is no object {uri}")
    rest = {name: value for name, value in call.params.items() if name != "definitionUri"}
    return replace(call, params={**rest, "definitionZip": content})
