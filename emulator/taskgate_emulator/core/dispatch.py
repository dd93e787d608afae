"""The path of a request through the emulator: route, authenticate, inject faults, perform, respond.

`Dispatcher.handle` lists the stages. It knows no operation by name: routes, request readers and
response writers are compiled from the model; behaviours come from each service's `Operations`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from taskgate_emulator.core.errors import AwsError, OperationNotEmulatedError
from taskgate_emulator.core.fault_injection import FaultInjector
from taskgate_emulator.core.generic import generic_behaviour
from taskgate_emulator.core.observation import CannedResponses, RecordedRequest, Recorder
from taskgate_emulator.core.operations import (
    Behaviour,
    Call,
    Computation,
    Operations,
    error_names,
)
from taskgate_emulator.core.parsing import Params, RawRequest, compile_request
from taskgate_emulator.core.responses import HttpResponse, compile_response, error_response
from taskgate_emulator.core.routing import Route, Router
from taskgate_emulator.core.state import Account
from taskgate_emulator.core.tagging import TAGGING
from taskgate_server.aws.model import OperationModel, load_service, operations

__all__ = ["Dispatcher", "HttpRequest"]

_log = logging.getLogger(__name__)

_REPLAY = "emulator.Replay"
_MAX_REPLAYS = 10_000
"""AWS remembers client tokens for hours; this many calls outlast any retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """An HTTP request before routing."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An emulated operation, compiled from the model."""

    read: Callable[[RawRequest], Params]
    behave: Behaviour
    write: Callable[[Mapping[str, Any]], HttpResponse]


class Dispatcher:
    """Serves the operations of several AWS services.

    Args:
        account: the state that the operations read and write.
        services: the behaviours of each service.
        recorder: records every request.
        canned: responses that tests return instead of calling a behaviour.
        fault_injector: applies request rates and faults.

    Raises:
        ValueError: a behaviour is registered for an operation that the model does not have.
    """

    def __init__(
        self,
        account: Account,
        services: Iterable[Operations],
        recorder: Recorder,
        canned: CannedResponses,
        fault_injector: FaultInjector,
    ) -> None:
        self._account = account
        self._behaviours = {service.service: service for service in services}
        self._recorder = recorder
        self._canned = canned
        self._fault_injector = fault_injector
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self._models = {name: load_service(name) for name in self._behaviours}
        for name, service in self._behaviours.items():
            unknown = service.names - set(self._models[name].operation_names)
            if unknown:
                raise ValueError(f"{name} has no operations {sorted(unknown)}")
        self._router = Router(
            operation for model in self._models.values() for operation in operations(model)
        )

    @property
    def signing_names(self) -> frozenset[str]:
        """The names of the services in signatures."""
        return frozenset(model.signing_name for model in self._models.values())

    def operation(self, service: str, name: str) -> OperationModel:
        """Return the model of an operation.

        Raises:
            ValueError: the service or the operation does not exist.
        """
        model = self._models.get(service)
        if model is None or name not in model.operation_names:
            raise ValueError(f"there is no operation {name} of {service}")
        return model.operation_model(name)

    def computation(self, request: HttpRequest) -> Computation | None:
        """Return what to compute, outside of the event loop, before handling a request."""
        try:
            self._authenticate(request)
            route = self._router.find(request.method, request.raw_path)
            operation = route.operation
            service = self._behaviours[operation.service_model.service_name]
            if not service.has_computation(operation.name):
                return None
            return service.computation(operation.name, self._account, self._read(route, request))
        except AwsError:
            return None  # handling the request reports it

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request; every failure becomes an error in AWS's form."""
        operation: OperationModel | None = None
        try:
            route = self._route(request)
            operation = route.operation
            self._authenticate(request)
            service = operation.service_model.service_name
            response = self._canned.take(service, operation.name) or self._fault_injector.handle(
                operation,
                self._account.clock(),
                request.headers,
                lambda: self._respond(route, request),
            )
        except AwsError as error:
            response = _to_response(error, operation)
        except Exception:  # noqa: BLE001 the program's edge: a caller gets no traceback
            _log.exception("the emulator failed at %s %s", request.method, request.raw_path)
            failure = AwsError("InternalFailure", "The emulator failed; its log says why")
            response = _to_response(failure, operation)
        return self._with_request_id(response)

    def reject(self, error: AwsError) -> HttpResponse:
        """Return the error response to a request that could not be read."""
        return self._with_request_id(error_response(error, None))

    def coverage(self) -> dict[str, dict[str, str]]:
        """Return how each operation is emulated, by service and operation.

        Returns:
            `behaviour` for a hand-written behaviour, `generic` for a plain resource, `501` for an
            operation that is not emulated.
        """
        return {
            name: {each.name: self._find_behaviour(each)[0] for each in operations(model)}
            for name, model in self._models.items()
        }

    def _route(self, request: HttpRequest) -> Route:
        route: Route | None = None
        try:
            route = self._router.find(request.method, request.raw_path)
            return route
        finally:
            self._recorder.add(
                RecordedRequest(
                    method=request.method,
                    raw_path=request.raw_path,
                    query=request.query,
                    headers=request.headers,
                    body=request.body,
                    service=route.operation.service_model.service_name if route else None,
                    operation=route.operation.name if route else None,
                )
            )

    @staticmethod
    def _authenticate(request: HttpRequest) -> None:
        # Any credentials are accepted, but AWS never accepts a request without a signature. It is
        # in a header, or in the query of a presigned URL.
        if "Authorization" in request.headers or "X-Amz-Signature=" in request.query:
            return
        code, status = "MissingAuthenticationTokenException", HTTPStatus.FORBIDDEN
        raise AwsError(code, "Missing Authentication Token", status=status)

    def _respond(self, route: Route, request: HttpRequest) -> HttpResponse:
        try:
            return self._perform(route, request)
        except AwsError as error:  # a response, too, which faults delay or cut
            return _to_response(error, route.operation)

    def _perform(self, route: Route, request: HttpRequest) -> HttpResponse:
        operation = route.operation
        compiled = self._compile(operation)
        params = self._read(route, request)
        account = self._account
        account.advance(account.clock())
        call = Call(account=account, operation=operation, params=params, now=account.now)
        try:
            result = _call_once(call, compiled.behave)
            # Changes that the call has made due are applied before the response is sent, so that
            # the caller's next read includes them.
            account.advance(account.now)
            return compiled.write(result)
        finally:
            account.save()

    def _read(self, route: Route, request: HttpRequest) -> Params:
        return self._compile(route.operation).read(
            RawRequest(
                labels=route.labels,
                query=parse_qs(request.query, keep_blank_values=True) if request.query else {},
                headers=request.headers,
                body=request.body,
            )
        )

    def _find_behaviour(self, operation: OperationModel) -> tuple[str, Behaviour | None]:
        """Return how an operation is emulated (see `coverage`), and its behaviour."""
        model = operation.service_model
        written = self._behaviours[model.service_name].behaviour(operation.name)
        if written is not None:
            return "behaviour", written

        def find(name: str) -> Behaviour | None:
            return self._find_behaviour(model.operation_model(name))[1]

        plain = TAGGING.get(operation.name) or generic_behaviour(operation, find)
        return ("501", None) if plain is None else ("generic", plain)

    def _compile(self, operation: OperationModel) -> _Compiled:
        service = operation.service_model.service_name
        key = (service, operation.name)
        compiled = self._compiled.get(key)
        if compiled is None:
            _, behave = self._find_behaviour(operation)
            if behave is None:
                raise OperationNotEmulatedError(service, operation.name)
            compiled = _Compiled(compile_request(operation), behave, compile_response(operation))
            self._compiled[key] = compiled
        return compiled

    def _with_request_id(self, response: HttpResponse) -> HttpResponse:
        request_id = self._account.new_uuid()
        return replace(response, headers={"x-amzn-RequestId": request_id, **response.headers})


def _call_once(call: Call, behave: Behaviour) -> Mapping[str, Any]:
    """Perform a call, or return the result of the earlier call with the same client token.

    botocore sends the same token when it retries, so a retried requeue must not restart a running
    task. A call that raises is not remembered: it changed nothing, so it may be retried.

    Raises:
        AwsError: the token was used with other params.
    """
    account, operation, params = call.account, call.operation, call.params
    tokens = [params[name] for name in operation.idempotent_members if name in params]
    if not tokens:
        return behave(call)
    key = (f"{operation.service_model.service_name} {operation.name} {tokens[0]}",)
    table = account.table(_REPLAY)
    known = table.record(key)
    if known is not None:
        if known["params"] != params:
            message = "The client token was used before with other parameters"
            raise AwsError("ValidationException", message, {"reason": "OTHER"})
        replayed: Mapping[str, Any] = known["result"]
        return replayed
    result = behave(call)
    account.put(_REPLAY, key, {"params": params, "result": result})
    oldest = table.first()
    if table.size() > _MAX_REPLAYS and oldest is not None:
        account.delete(_REPLAY, (oldest,))
    return result


_STATE_ERRORS = frozenset({"ConflictException", "ResourceNotFoundException"})


def _listed(error: AwsError, operation: OperationModel) -> AwsError:
    """Return an error about the state of resources as one that the operation's model lists.

    DeleteFarm, for example, has no ConflictException.
    """
    if error.code not in _STATE_ERRORS - error_names(operation):
        return error
    return AwsError("ValidationException", error.message, {"reason": "OTHER"})


def _to_response(error: AwsError, operation: OperationModel | None) -> HttpResponse:
    if operation is None:
        return error_response(error, None)
    return error_response(_listed(error, operation), operation.service_model)
