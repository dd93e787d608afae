"""The AWS services that the two work with: CloudWatch Logs, EventBridge, SQS and STS, from moto.

The Price List service is with them, without prices; see `price_list.py`.

They are on the emulator's own port: a request goes to the service that its signature names. moto
takes a second to load, so it is loaded by the first such request. Until then no rule can wait for
events, and log lines keep.

moto holds its state in the process, by account: emulators of one process share these four, and the
one that comes to use them first clears what an earlier one has left. The state file does not have
moto's state; log lines are in it.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import copy
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random
from threading import Lock
from typing import Any
from uuid import UUID

from taskgate_emulator.core.event_sinks import Event, LogLine
from taskgate_emulator.core.faults import Fault, Faults
from taskgate_emulator.core.responses import HttpResponse, json_body
from taskgate_emulator.core.state import Account
from taskgate_emulator.omics import price_list

__all__ = ["NAMES", "MotoServices", "signed_service"]

_MOTO = frozenset({"events", "logs", "sqs", "sts"})
NAMES = _MOTO | {price_list.NAME}
"""The services, by the names that signatures give them."""

_log = logging.getLogger(__name__)
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/]+/(?P<service>[a-z0-9-]+)/aws4_request")
_HOP_BY_HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


def signed_service(authorization: str) -> str | None:
    """The service that a request is signed for, out of its Authorization header."""
    found = _SCOPE.search(authorization)
    return found["service"] if found else None


class MotoServices:
    """The other services of an account.

    Args:
        account: whose events and log lines they get.
        faults: the rules; their kinds that are about the connection or an error hold here too.
    """

    def __init__(self, account: Account, faults: Faults) -> None:
        self._account = account
        self._faults = faults
        self._mutex = Lock()
        self._moto: _Moto | None = None

    def prepare(self, service: str) -> None:
        """Bring a service up to date, in the thread that the account belongs to."""
        if service not in _MOTO:
            return
        moto = self._loaded()
        self._account.settle()
        if service == "logs":
            moto.write_lines(self._account.logs.take_waiting())

    def response(
        self, service: str, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        """Answer a request, in any thread: a long poll of SQS waits here.

        Args:
            service: one of `NAMES`.
            method: of HTTP.
            target: path and query as they came.
            headers: of the request.
            body: of the request.
        """
        fault = self._faults.choose(service, operation_of(headers, body))
        if fault is not None and fault.kind in _ERRORS:
            return _error(fault)
        if service in _MOTO:
            response = self._loaded().response(method, target, headers, body)
        else:
            response = price_list.response(operation_of(headers, body))
        if fault is None:
            return response
        return HttpResponse(
            status=response.status,
            headers=response.headers,
            body=response.body,
            delivery=fault.kind,
            delay=fault.seconds,
        )

    def _loaded(self) -> _Moto:
        with self._mutex:
            if self._moto is None:
                self._moto = _Moto(self._account.events.account_id, self._account.events.region)
                self._account.events.receiver = self._moto.deliver
            return self._moto


def operation_of(headers: Mapping[str, str], body: bytes) -> str:
    """The operation of a request to one of the services, by its target or its Action."""
    target = headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    found = re.search(rb"(?:^|&)Action=(\w+)", body)
    return found[1].decode() if found else ""


_ERRORS = {
    "throttle": ("ThrottlingException", HTTPStatus.BAD_REQUEST),
    "internal": ("InternalFailure", HTTPStatus.INTERNAL_SERVER_ERROR),
    "unavailable": ("ServiceUnavailableException", HTTPStatus.SERVICE_UNAVAILABLE),
}
"""As the JSON protocols of these services have them."""


def _error(fault: Fault) -> HttpResponse:
    code, status = _ERRORS[fault.kind]
    return HttpResponse(
        status=status,
        headers={"Content-Type": "application/x-amz-json-1.1"},
        body=json_body({"__type": code, "message": "Asked for by a rule"}),
    )


class _Moto:
    """moto's server application, and the two backends that are written from inside."""

    def __init__(self, account_id: str, region: str) -> None:
        from moto.backends import get_backend  # noqa: PLC0415 a second that most starts save
        from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 the same
            DomainDispatcherApplication,
            create_backend_app,
        )
        from werkzeug.test import Client  # noqa: PLC0415 the same

        self._account_id, self._region = account_id, region
        self._random = Random(0)  # noqa: S311 ids of events need not be secret
        self._client = Client(DomainDispatcherApplication(create_backend_app))
        for service in sorted(_MOTO):
            get_backend(service).pop(account_id, None)  # type: ignore[call-overload]  # the name is one of moto's
        self._logs = get_backend("logs")[account_id][region]
        self._sqs = get_backend("sqs")[account_id][region]
        self._events = get_backend("events")[account_id][region]

    def response(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        """What moto answers."""
        response = self._client.open(
            target,
            base_url=f"http://{headers.get('Host', 'localhost')}",
            method=method,
            headers={**dict(headers), "x-moto-account-id": self._account_id},
            data=body,
        )
        kept = {name: value for name, value in response.headers if name.lower() not in _HOP_BY_HOP}
        return HttpResponse(status=response.status_code, headers=kept, body=response.get_data())

    def write_lines(self, lines: Iterable[LogLine]) -> None:
        """Put lines into their streams, whatever their age: moto's own check asks the real time."""
        streams: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for line in lines:
            moment = int(line.timestamp.timestamp() * 1_000)
            streams[line.group, line.stream].append({"timestamp": moment, "message": line.message})
        for (group_name, stream_name), events in streams.items():
            if group_name not in self._logs.groups:
                self._logs.create_log_group(group_name, {})
            group = self._logs.groups[group_name]
            if stream_name not in group.streams:
                group.create_log_stream(stream_name)
            group.streams[stream_name].put_log_events(events)

    def deliver(self, event: Event) -> None:
        """Send an event to the targets of the default bus's rules."""
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
                except Exception:  # noqa: BLE001 a broken target is not the sender's matter, as at AWS
                    _log.warning("no delivery to a target of rule %s", rule.name, exc_info=True)

    def _send(self, rule: Any, target: Mapping[str, Any], message: _Message) -> None:
        service, *_, name = target["Arn"].split(":")[2:]
        if service == "sqs" and "InputTransformer" not in target:
            # moto's own way leaves the account out, and costs a millisecond an event.
            moment = datetime.fromtimestamp(message["time"], UTC)
            told = {**message, "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
            self._sqs.send_message(
                queue_name=name,
                message_body=target.get("Input") or json.dumps(told),
                group_id=target.get("SqsParameters", {}).get("MessageGroupId"),
            )
            return
        # A rule of one target: moto changes the message on the way to it.
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
    """An event in moto's form, which has a member more than AWS's: read by moto, and never sent."""

    def __missing__(self, key: str) -> Any:
        if key == "ingestion-time":
            return self["time"]
        raise KeyError(key)
