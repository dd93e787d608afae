"""Which RPCs may be called with GET: those without side effects, and with one response.

TaskService's proto says it of each method. For AWS's operations, whose protos are generated, the
group of the policy does: reads that return no credentials.
"""

from __future__ import annotations

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from taskgate_server.auth.actions import SPECS, action_of


def is_safe(method: MethodDescriptor) -> bool:
    """Return whether an RPC may be called with GET."""
    if method.client_streaming or method.server_streaming:
        return False
    service = method.containing_service.full_name
    if service in SPECS:
        return action_of(f"{service}/{method.name}").group == "read"
    level: int = method.GetOptions().idempotency_level
    return level == MethodOptions.NO_SIDE_EFFECTS
