"""The Assume… operations of Deadline Cloud, which return credentials of a role.

The emulator accepts any credentials for all of its services, S3 included, so these need not be
known to it. An access key of AWS's temporary credentials begins with ASIA.
"""

from __future__ import annotations

import base64
from datetime import timedelta

from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.generic import require_resource
from taskgate_emulator.core.operations import Behaviour, Call
from taskgate_emulator.core.state import Record
from taskgate_emulator.deadline.behaviour import OPERATIONS

_LIFETIME = timedelta(hours=1)
_NOUNS = {
    "AssumeFleetRoleForRead": ("Fleet",),
    "AssumeFleetRoleForWorker": ("Worker",),
    "AssumeQueueRoleForRead": ("Queue",),
    "AssumeQueueRoleForUser": ("Queue",),
    "AssumeQueueRoleForWorker": ("Worker", "Queue"),
}
"""By operation, the resources that it names."""


def _assume_role(nouns: tuple[str, ...]) -> Behaviour:
    resources = [load_catalog("deadline").resources[noun] for noun in nouns]

    def assume_role(call: Call) -> Record:
        for resource in resources:
            require_resource(call.account, resource, call.params)
        random = call.account.random
        credentials = {
            "accessKeyId": f"ASIA{base64.b32encode(random.randbytes(10)).decode()}",
            "secretAccessKey": base64.b64encode(random.randbytes(30)).decode(),
            "sessionToken": base64.b64encode(random.randbytes(60)).decode(),
            "expiration": call.now + _LIFETIME,
        }
        return {"credentials": credentials}

    return assume_role


for _name, _resources in _NOUNS.items():
    OPERATIONS.register(_name)(_assume_role(_resources))
