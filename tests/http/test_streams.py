"""Streams over Connect: watches, logs and uploads, and how they end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from taskgate_emulator import Emulator
from taskgate_server.ports import Address
from tests.support.demo_names import ENDED_RUN, JOB
from tests.support.http_client import END_OF_STREAM, TASKS, call, streaming
from tests.support.polling import wait_until
from tests.support.running_server import running_app, settings_for

WATCH = f"{TASKS}/WatchTasks"


def test_a_watch_begins_with_a_snapshot(http: Address) -> None:
    with streaming(http, WATCH, {"parent": JOB}) as envelopes:
        flags, first = next(envelopes)
    assert flags == 0
    assert first


def test_a_stream_that_is_refused_ends_with_the_error(http: Address) -> None:
    with streaming(http, WATCH, {"parent": "nowhere"}) as envelopes:
        ((flags, end),) = envelopes
    assert flags == END_OF_STREAM
    assert end["error"]["code"] == "invalid_argument"
    assert end["error"]["details"][0]["debug"]["reason"] == "INVALID_REQUEST"


def test_a_stream_ends_by_itself(http: Address) -> None:
    with streaming(http, WATCH, {"parent": ENDED_RUN, "untilSettled": True}) as envelopes:
        *_, (flags, end) = envelopes
    assert flags == END_OF_STREAM
    assert "error" not in end


def test_a_deadline_ends_a_stream(http: Address) -> None:
    with streaming(http, WATCH, {"parent": JOB}, connect_timeout_ms="300") as envelopes:
        *_, (_, end) = envelopes
    assert end["error"]["code"] == "deadline_exceeded"


@pytest.fixture
def counted(aws: Emulator) -> Iterator[tuple[Address, io.StringIO]]:
    log = io.StringIO()
    with running_app(settings_for(aws.endpoint_url, http_port=0), log) as (app, _):
        assert app.server.http_address is not None
        yield app.server.http_address, log


def test_a_call_ends_when_its_client_leaves(counted: tuple[Address, io.StringIO]) -> None:
    http, log = counted

    def ended(method: str) -> list[str]:
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        return [line["code"] for line in lines if line.get("method") == method]

    with streaming(http, WATCH, {"parent": JOB}) as envelopes:
        next(envelopes)
    wait_until(lambda: ended(WATCH) == ["CANCELLED"])


def test_streams_end_at_shutdown_with_the_reason_that_they_have_over_grpc(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url, http_port=0)
    with ExitStack() as client, ThreadPoolExecutor(1) as threads:
        with running_app(settings) as (app, _):
            watch = streaming(app.server.http_address, WATCH, {"parent": JOB})
            envelopes = client.enter_context(watch)
            while "snapshotEnd" not in next(envelopes)[1]:
                pass
            rest = threads.submit(list, envelopes)
        # Leaving the block has drained the server.
        *_, (_, last), (_, end) = rest.result(10)
    assert last["watchEnd"]["reason"] == "WATCH_END_REASON_SERVER_STOPPING"
    assert "error" not in end


def test_an_unary_call_of_a_stream_has_the_wrong_media_type(http: Address) -> None:
    assert call(http, WATCH, {"parent": JOB}).status == 415
