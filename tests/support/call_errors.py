"""How a call ended: its error as the client library, the details or one line present it."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from taskgate_client import CallError


def error_of(call: Callable[..., object], *arguments: object) -> CallError:
    """Return the error that a call ends with; fail the test if it succeeds."""
    try:
        call(*arguments)
    except CallError as error:
        return error
    except grpc.RpcError as error:
        return CallError.of(error)
    raise AssertionError("the call succeeded")


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo of a failed call, which is its first detail."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call, too
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info


def outcome_of(call: Callable[[], object]) -> str:
    """Return a call's status code, its error reason, and `wait` if it has a RetryInfo."""
    try:
        call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call, too
        words = [str(error.code().name)]
        for detail in status.details if status is not None else ():
            info, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                words.append(info.reason)
            elif detail.Unpack(wait):
                words.append("wait")
        return ", ".join(words)
    return "OK"
