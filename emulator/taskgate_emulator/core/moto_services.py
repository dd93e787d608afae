"""The other AWS services: Logs, EventBridge, S3, SQS and STS from moto, and the Price List.

They share the emulator's port: a request goes to the service that its signature names. moto takes a
second to load, so the first such request loads it. Log lines wait until then; events sent earlier
are lost, since no rule can exist before the first request.

moto keeps its state in the process, per account: emulators of one process share these services, and
each clears them when it first uses them. A state file has the log lines, but none of moto's state.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

from taskgate_emulator.core.event_sinks import Event, LogLine
from taskgate_emulator.core.faults import Fault, Faults
from taskgate_emulator.core.responses import HttpResponse, json_body
from taskgate_emulator.core.state import BUCKET, Account

if TYPE_CHECKING:
    from werkzeug.test import Client

__all__ = ["SERVICES", "Moto", "MotoServices", "operation_of"]

_MOTO = frozenset({"events", "logs", "s3", "sqs", "sts"})
_PRICE_LIST = "pricing"
SERVICES = _MOTO | {_PRICE_LIST}
"""The names of the services in signatures."""

_log = logging.getLogger(__name__)
_HOP_BY_HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
_ERRORS = {
    "throttle": ("ThrottlingException", HTTPStatus.BAD_REQUEST),
    "internal": ("InternalFailure", HTTPStatus.INTERNAL_SERVER_ERROR),
    "unavailable": ("ServiceUnavailableException", HTTPStatus.SERVICE_UNAVAILABLE),
}
"""Error code and status of fault kinds, as in the JSON protocols of these services."""


def operation_of(headers: Mapping[str, str], body: bytes) -> str:
    """Return the operation of a request, from its X-Amz-Target header or its Action."""
    target = headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    match = re.search(rb"(?:^|&)Action=(\w+)", body)
    return match[1].decode() if match else ""


class MotoServices:
    """The other services of an account.

    Args:
        account: the source of events and log lines.
        faults: the rules; kinds that are errors or affect the connection apply here, too.
        moto: serves the requests.
    """

    def __init__(self, account: Account, faults: Faults, moto: Moto) -> None:
        self._account = account
        self._faults = faults
        self._moto = moto
        self._mutex = Lock()
        self._regional: _RegionalMoto | None = None

    def prepare(self, service: str) -> None:
        """Bring a service up to date; call it in the thread that the account belongs to."""
        if service not in _MOTO:
            return
        moto = self._load()
        self._account.settle()
        if service == "logs":
            moto.write_lines(self._account.logs.take_waiting())

    def read_object(self, bucket: str, key: str) -> bytes | None:
        """Return an object of S3, or None if it does not exist."""
        return self._load().read_object(bucket, key)

    def write_object(self, bucket: str, key: str, content: bytes) -> bool:
        """Write an object of S3; return False if the bucket does not exist."""
        return self._load().write_object(bucket, key, content)

    def handle(
        self, service: str, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        """Return the response to a request; any thread may call it, as SQS's long polls block.

        Args:
            service: one of `SERVICES`.
            method: the HTTP method.
            target: path and query, still encoded.
            headers: of the request.
            body: of the request.
        """
        operation = operation_of(headers, body)
        fault = self._faults.choose(service, operation)
        if fault is not None and fault.kind in _ERRORS:
            return _fault_response(fault)
        if service in _MOTO:
            self._load()
            response = self._moto.handle(method, target, headers, body)
        else:
            response = _price_list_response(operation)
        if fault is None:
            return response
        return replace(response, delivery=fault.kind, delay=fault.seconds)

    def _load(self) -> _RegionalMoto:
        with self._mutex:
            if self._regional is None:
                self._moto.load()
                region = self._account.region
                self._regional = _RegionalMoto(self._moto.account_id, region)
                self._account.events.receiver = self._regional.deliver
                for _, bucket in self._account.table(BUCKET).records():
                    self._regional.create_bucket(bucket["name"])
            return self._regional


def _fault_response(fault: Fault) -> HttpResponse:
    code, status = _ERRORS[fault.kind]
    body = json_body({"__type": code, "message": "Injected by a fault rule"})
    return HttpResponse(status=status, headers=_JSON, body=body)


def _price_list_response(operation: str) -> HttpResponse:
    """Return a response without prices.

    AWS's run analyzer calls the Price List service first; without prices it leaves costs empty.
    """
    bodies: Mapping[str, Mapping[str, Any]] = {
        "DescribeServices": {
            "FormatVersion": "aws_v1",
            "Services": [
                {"ServiceCode": "AmazonOmics", "AttributeNames": ["regionCode", "resourceType"]}
            ],
        },
        "GetProducts": {"FormatVersion": "aws_v1", "PriceList": []},
    }
    if operation in bodies:
        return HttpResponse(status=HTTPStatus.OK, headers=_JSON, body=json_body(bodies[operation]))
    message = f"{operation} of {_PRICE_LIST} is not emulated"
    error = json_body({"__type": "NotImplemented", "message": message})
    return HttpResponse(status=HTTPStatus.NOT_IMPLEMENTED, headers=_JSON, body=error)


class Moto:
    """moto's server application, for all regions of an account.

    Args:
        account_id: of AWS.
    """

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self._mutex = Lock()
        self._client: Client | None = None

    def load(self) -> Client:
        """Load moto and clear the account, unless that has happened; return its test client."""
        with self._mutex:
            if self._client is None:
                self._client = self._load()
            return self._client

    def handle(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        """Return moto's response to a request."""
        response = self.load().open(
            target,
            base_url=f"http://{headers.get('Host', 'localhost')}",
            method=method,
            headers={**dict(headers), "x-moto-account-id": self.account_id},
            data=body,
        )
        end_to_end = {
            name: value for name, value in response.headers if name.lower() not in _HOP_BY_HOP
        }
        return HttpResponse(
            status=response.status_code, headers=end_to_end, body=response.get_data()
        )

    def _load(self) -> Client:
        from moto.backends import get_backend  # noqa: PLC0415 a second that most starts save
        from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 the same
            DomainDispatcherApplication,
            create_backend_app,
        )
        from werkzeug.test import Client as TestClient  # noqa: PLC0415 the same

        for service in sorted(_MOTO):
            backends: Any = get_backend(service)  # type: ignore[call-overload]  # the name is one of moto's
            for backend in backends.pop(self.account_id, {}).values():
                backend.reset()
        buckets: Any = get_backend("s3").bucket_accounts  # type: ignore[attr-defined]  # S3's alone
        for name in [name for name, owner in buckets.items() if owner[1] == self.account_id]:
            del buckets[name]
        return TestClient(DomainDispatcherApplication(create_backend_app))


class _RegionalMoto:
    """Direct access to moto's backends of one region."""

    def __init__(self, account_id: str, region: str) -> None:
        from moto.backends import get_backend  # noqa: PLC0415 a second that most starts save

        self._account_id, self._region = account_id, region
        self._random = Random(0)  # noqa: S311 ids of events need not be secret
        self._logs = get_backend("logs")[account_id][region]
        self._sqs = get_backend("sqs")[account_id][region]
        self._events = get_backend("events")[account_id][region]
        self._s3 = get_backend("s3")[account_id]["aws"]

    def create_bucket(self, name: str) -> None:
        """Create a bucket, unless it exists."""
        if name not in self._s3.buckets:
            self._s3.create_bucket(name, self._region)

    def read_object(self, bucket: str, key: str) -> bytes | None:
        """Return the latest version of an object, or None if it does not exist."""
        if bucket not in self._s3.buckets:
            return None
        found = self._s3.get_object(bucket, key)
        content: bytes | None = None if found is None else found.value
        return content

    def write_object(self, bucket: str, key: str, content: bytes) -> bool:
        """Write an object; return False if the bucket does not exist."""
        if bucket not in self._s3.buckets:
            return False
        self._s3.put_object(bucket, key, content)
        return True

    def write_lines(self, lines: Iterable[LogLine]) -> None:
        """Write lines to their streams; this bypasses moto's check of their age by real time."""
        streams: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for line in lines:
            timestamp = int(line.timestamp.timestamp() * 1_000)
            streams[line.group, line.stream].append(
                {"timestamp": timestamp, "message": line.message}
            )
        for (group_name, stream_name), events in streams.items():
            if group_name not in self._logs.groups:
                self._logs.create_log_group(group_name, {})
            group = self._logs.groups[group_name]
            if stream_name not in group.streams:
                group.create_log_stream(stream_name)
            group.streams[stream_name].put_log_events(events)

    def deliver(self, event: Event) -> None:
        """Send an event to the targets of the matching rules of the default bus."""
        event_id = str(UUID(int=self._random.getrandbits(128), version=4))
        for rule in list(self._events.describe_event_bus("default").rules.values()):
            if rule.state != "ENABLED":
                continue
            message = self._message(event, event_id)
            if not rule.event_pattern.matches_event(message):
                continue
            for target in rule.targets:
                try:
                    self._send(rule, target, message)
                except Exception:  # noqa: BLE001 at AWS, too, a failing target does not affect the sender
                    _log.warning("no delivery to a target of rule %s", rule.name, exc_info=True)

    def _send(self, rule: Any, target: Mapping[str, Any], message: _Message) -> None:
        service, *_, name = target["Arn"].split(":")[2:]
        if service == "sqs" and "InputTransformer" not in target:
            # moto's own delivery omits the account and takes a millisecond per event.
            time = datetime.fromtimestamp(message["time"], UTC)
            sent = {**message, "time": f"{time:%Y-%m-%dT%H:%M:%SZ}"}
            self._sqs.send_message(
                queue_name=name,
                message_body=target.get("Input") or json.dumps(sent),
                group_id=target.get("SqsParameters", {}).get("MessageGroupId"),
            )
            return
        # A copy of the rule with one target, because moto changes the message it delivers.
        single = copy(rule)
        single.targets = [target]
        single.send_to_targets(_Message(message))

    def _message(self, event: Event, event_id: str) -> Any:
        return _Message(
            {
                "version": "0",
                "id": event_id,
                "detail-type": event.detail_type,
                "source": event.source,
                "account": self._account_id,
                "time": event.time.timestamp(),
                "region": self._region,
                "resources": list(event.resources),
                "detail": json.loads(json_body(event.detail)),
            }
        )


class _Message(dict[str, Any]):
    """An event in moto's form, which has a member that AWS's events lack: moto reads it only."""

    def __missing__(self, key: str) -> Any:
        if key == "ingestion-time":
            return self["time"]
        raise KeyError(key)
