"""What Taskgate itself answers is not tried again by callers that have a retry policy."""

from __future__ import annotations

import io

import pytest

from taskgate_client import CallError, connect
from tests.support.demo_names import RUNNING
from tests.support.running_server import running_server, settings_for


def test_clients_do_not_retry_errors_of_aws() -> None:
    log = io.StringIO()
    settings = settings_for("http://127.0.0.1:9")  # nothing listens there
    with running_server(settings, log) as address, connect(str(address)) as client:
        with pytest.raises(CallError) as caught:
            client.get_task(RUNNING)
        assert caught.value.reason == "UPSTREAM_UNREACHABLE"
    lines = [line for line in log.getvalue().splitlines() if "TaskService/GetTask" in line]
    assert len(lines) == 1
