"""A task, a server or an error with all of its fields."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client.errors import CallError
from taskgate_client.render.text import format_time, one_line, printable, state_text

TIMES = (
    ("created", "create_time"),
    ("started", "start_time"),
    ("ended", "end_time"),
    ("updated", "update_time"),
    ("observed", "observe_time"),
)
TEXTS = (
    ("title", "display_name"),
    ("retries", "retry_count"),
    ("status", "status_message"),
    ("failure", "failure_reason"),
)


def task(message: task_pb2.Task) -> RenderableType:
    """Render a task: name and state first, then every other field that is set."""
    table = _two_columns()
    table.add_row("name", Text(printable(message.name), style="bold"))
    state = state_text(message.state)
    state.append(f"  (AWS: {printable(message.native_state)})", style="dim")
    if message.HasField("target_state") and message.target_state != message.state:
        state.append("  changing to ", style="dim").append_text(state_text(message.target_state))
    table.add_row("state", state)
    fields = {field.name: value for field, value in message.ListFields()}
    for label, name in TEXTS:
        if name in fields:
            table.add_row(label, _text(str(fields[name])))
    for label, name in TIMES:
        if name in fields:
            table.add_row(label, Text(format_time(fields[name])))
    for name, value in sorted(message.parameters.items()):
        table.add_row(Text(f"parameter {one_line(name)}"), _parameter(value))
    if message.HasField("resources"):
        table.add_row("resources", _text(_resources(message.resources)))
    return Panel(table, expand=False)


def server_info(message: task_service_pb2.GetServerInfoResponse) -> RenderableType:
    """Render a server: its version, and a row for each AWS service."""
    table = Table(box=None, pad_edge=False)
    for heading in ("AWS service", "region", "ready", "operations", "gRPC service"):
        table.add_column(heading, overflow="fold")
    for each in message.aws_services:
        ready = (
            Text("yes", "green")
            if each.ready
            else Text(f"no: {one_line(each.not_ready_reason)}", "red")
        )
        count = str(each.operation_count)
        table.add_row(each.title, each.region or "?", ready, count, each.grpc_service)
    return Group(Text(f"Taskgate {message.version}", style="bold"), table)


def error(message: CallError) -> RenderableType:
    """Render an error: what happened, what to do, and its id in the logs."""
    table = _two_columns()
    table.add_row("status", Text(message.code.name, style="bold red"))
    table.add_row("message", _text(message.message))
    if message.reason:
        table.add_row("reason", _text(f"{message.reason}  (from {message.domain})"))
    # A single violation is already part of the message.
    for violation in message.violations if len(message.violations) > 1 else ():
        table.add_row(Text(f"field {one_line(violation.field)}"), _text(violation.description))
    if message.resource is not None and message.resource[1]:
        table.add_row("resource", _text(" ".join(message.resource)))
    if message.quota:
        table.add_row("quota", _text(message.quota))
    if message.retry_after_seconds is not None:
        table.add_row("retry after", Text(f"{message.retry_after_seconds:g} s"))
    if message.request_id:
        table.add_row("request id", _text(message.request_id))
    return Panel(table, border_style="red", expand=False)


def _text(text: str) -> Text:
    return Text(printable(text))


def _two_columns() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _parameter(value: task_pb2.TaskParameter) -> Text:
    kind = value.WhichOneof("value")
    if kind is None:
        return Text("no value", style="dim")
    if kind == "unknown_member":
        unknown = printable(value.unknown_member)
        return Text(f"of an unknown type: {unknown}", style="yellow")
    return _text(getattr(value, kind)).append(f"  ({kind})", style="dim")


def _resources(resources: task_pb2.TaskResources) -> str:
    parts = []
    if resources.HasField("cpus"):
        parts.append(f"{resources.cpus} CPUs")
    if resources.HasField("memory_gib"):
        parts.append(f"{resources.memory_gib} GiB")
    if resources.HasField("gpus"):
        parts.append(f"{resources.gpus} GPUs")
    if resources.HasField("instance_type"):
        parts.append(resources.instance_type)
    return ", ".join(parts)
