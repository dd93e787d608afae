"""The way of a request through the emulator, from its path to its answer.

`Dispatcher.answer` is that way, one line a stage. It knows no operation by name: routes, readers
and writers come from the model, behaviours from the registries.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from taskgate_emulator.core.errors import (
    AwsError,
    MissingAuthenticationError,
    OperationNotEmulatedError,
)
from taskgate_emulator.core.fault_injection import FaultInjector
from taskgate_emulator.core.generic import generic_behaviour
from taskgate_emulator.core.idempotency import once
from taskgate_emulator.core.observation import CannedResponses, RecordedRequest, Recorder
from taskgate_emulator.core.operations import Behaviour, Call, Operations
from taskgate_emulator.core.parsing import Params, RawRequest, compile_request
from taskgate_emulator.core.responses import HttpResponse, compile_response, error_response
from taskgate_emulator.core.routing import Route, Router
from taskgate_emulator.core.state import Account
from taskgate_emulator.core.tagging import TAGGING
from taskgate_server.aws.model import (
    OperationModel,
    ServiceModel,
    load_service,
    operations,
)

__all__ = ["Dispatcher", "HttpRequest"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request, before anybody looked at it."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An operation that the emulator has, compiled from the model."""

    read: Callable[[RawRequest], Params]
    behave: Behaviour
    write: Callable[[Mapping[str, Any]], HttpResponse]


class Dispatcher:
    """Serves the operations of several AWS services.

    Args:
        account: what the operations work on.
        registries: the behaviours, one registry for each service.
        recorder: keeps the requests.
        canned: answers that tests put before the behaviours.
        temper: lets calls go wrong.

    Raises:
        ValueError: a behaviour is registered for an operation that the model does not have.
    """

    def __init__(
        self,
        account: Account,
        registries: Iterable[Operations],
        recorder: Recorder,
        canned: CannedResponses,
        fault_injector: FaultInjector,
    ) -> None:
        self._account = account
        self._registries = {registry.service: registry for registry in registries}
        self._recorder = recorder
        self._canned = canned
        self._fault_injector = fault_injector
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self._services = {name: load_service(name) for name in self._registries}
        for name, registry in self._registries.items():
            unknown = registry.names - set(self._services[name].operation_names)
            if unknown:
                raise ValueError(f"{name} has no operations {sorted(unknown)}")
        self._router = Router(
            operation for service in self._services.values() for operation in operations(service)
        )

    def operation(self, service: str, name: str) -> OperationModel:
        """An operation of a service that is served here.

        Raises:
            ValueError: there is no such service or operation.
        """
        model = self._services.get(service)
        if model is None or name not in model.operation_names:
            raise ValueError(f"there is no operation {name} of {service}")
        return model.operation_model(name)

    def response(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; whatever happens, there is an answer in AWS's form."""
        operation: OperationModel | None = None
        try:
            route = self._route(request)
            operation = route.operation
            self._authenticate(request)
            response = self._take_canned_response(operation) or self._fault_injector.response(
                operation,
                self._account.clock(),
                request.headers,
                lambda: self._perform(route, request),
            )
        except AwsError as error:
            response = _error_response(error, operation)
        except Exception:  # noqa: BLE001 the program's edge: a caller gets no traceback
            _log.exception("the emulator failed at %s %s", request.method, request.raw_path)
            failure = AwsError("InternalFailure", "The emulator failed; its log says why")
            response = _error_response(failure, operation)
        return self._with_request_id(response)

    def reject(self, error: AwsError) -> HttpResponse:
        """The answer to a request that HTTP itself could not bring here."""
        return self._with_request_id(error_response(error, None))

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
                    service=_service_of(route.operation).service_name if route else None,
                    operation=route.operation.name if route else None,
                )
            )

    @staticmethod
    def _authenticate(request: HttpRequest) -> None:
        # Any credentials will do, but AWS never answers without. A signature is in a header, or
        # in the query when the URL was signed beforehand.
        if "Authorization" in request.headers or "X-Amz-Signature=" in request.query:
            return
        raise MissingAuthenticationError

    def _take_canned_response(self, operation: OperationModel) -> HttpResponse | None:
        return self._canned.take(_service_of(operation).service_name, operation.name)

    def _perform(self, route: Route, request: HttpRequest) -> HttpResponse:
        operation = route.operation
        compiled = self._compile(operation)
        params = compiled.read(
            RawRequest(
                labels=route.labels,
                query=parse_qs(request.query, keep_blank_values=True) if request.query else {},
                headers=request.headers,
                body=request.body,
            )
        )
        account = self._account
        account.advance(account.clock())
        call = Call(account=account, operation=operation, params=params, now=account.now)
        try:
            result = once(account, operation, params, lambda: compiled.behave(call))
            # What the call has made due is done before its answer leaves, as a caller expects.
            account.advance(account.now)
            return compiled.write(result)
        finally:
            account.save()

    def behaviour(self, operation: OperationModel) -> tuple[str, Behaviour | None]:
        """How an operation is emulated, and what it does.

        Returns:
            `behaviour` for what is written by hand, `generic` for a plain resource, `501` for what
            there is no true answer to.
        """
        service = _service_of(operation).service_name
        written = self._registries[service].behaviour(operation.name)
        if written is not None:
            return "behaviour", written

        def find(name: str) -> Behaviour | None:
            return self.behaviour(_service_of(operation).operation_model(name))[1]

        plain = TAGGING.get(operation.name) or generic_behaviour(operation, find)
        return ("501", None) if plain is None else ("generic", plain)

    def coverage(self) -> dict[str, dict[str, str]]:
        """Service to operation to how it is emulated; see `behaviour`."""
        return {
            name: {each.name: self.behaviour(each)[0] for each in operations(service)}
            for name, service in self._services.items()
        }

    def _compile(self, operation: OperationModel) -> _Compiled:
        service = _service_of(operation).service_name
        key = (service, operation.name)
        compiled = self._compiled.get(key)
        if compiled is None:
            _, behave = self.behaviour(operation)
            if behave is None:
                raise OperationNotEmulatedError(service, operation.name)
            compiled = _Compiled(compile_request(operation), behave, compile_response(operation))
            self._compiled[key] = compiled
        return compiled

    def _with_request_id(self, response: HttpResponse) -> HttpResponse:
        request_id = uuid.UUID(int=self._account.random.getrandbits(128), version=4)
        return replace(response, headers={"x-amzn-RequestId": str(request_id), **response.headers})


def _service_of(operation: OperationModel) -> ServiceModel:
    return operation.service_model


def _error_response(error: AwsError, operation: OperationModel | None) -> HttpResponse:
    return error_response(error, _service_of(operation) if operation else None)
