"""Which web pages may call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate_emulator import Emulator
from taskgate_server.config import SettingsError, load_settings
from taskgate_server.ports import Address
from tests.support.demo_names import RUNNING
from tests.support.http_client import TASKS, Reply, call, request
from tests.support.running_server import running_app, settings_for

GET_TASK = f"{TASKS}/GetTask"
ALLOWED = "https://status.example.com"
STRANGE = "https://evil.example.com"


@pytest.fixture(scope="module")
def http(aws: Emulator) -> Iterator[Address]:
    settings = settings_for(aws.endpoint_url, http_port=0, http_allowed_origins=[ALLOWED])
    with running_app(settings) as (app, _):
        assert app.server.http_address is not None
        yield app.server.http_address


def preflight(http: Address, origin: str) -> Reply:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,connect-protocol-version",
    }
    return request(http, f"/{GET_TASK}", method="OPTIONS", headers=headers)


def test_pages_of_an_allowed_origin_may_call_and_read(http: Address) -> None:
    allowed = preflight(http, ALLOWED)
    assert allowed.status == 204
    assert allowed.headers["access-control-allow-origin"] == ALLOWED
    assert "content-type" in allowed.headers["access-control-allow-headers"]
    assert "POST" in allowed.headers["access-control-allow-methods"]
    reply = call(http, GET_TASK, {"name": RUNNING}, origin=ALLOWED)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == ALLOWED
    assert "retry-after" in reply.headers["access-control-expose-headers"]
    assert "origin" in reply.headers.get_all("vary", [])


@pytest.mark.parametrize("origin", [STRANGE, "null", f"{ALLOWED}.evil.example.com", "http:/x"])
def test_pages_of_other_origins_may_not(http: Address, origin: str) -> None:
    for reply in (preflight(http, origin), call(http, GET_TASK, {"name": RUNNING}, origin=origin)):
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers
        assert "http_allowed_origins" in reply.json["message"]


def test_pages_of_the_server_may_call(http: Address) -> None:
    reply = call(http, GET_TASK, {"name": RUNNING}, origin=f"http://{http}")
    assert reply.status == 200


@pytest.mark.parametrize("host", ["evil.example.com", f"localhost.evil.example.com:{80}", ""])
def test_a_server_without_authentication_is_for_this_machine_only(http: Address, host: str) -> None:
    """A page may come from a name that its owner lets resolve to 127.0.0.1."""
    reply = call(http, GET_TASK, {"name": RUNNING}, host=host, origin=f"http://{host}")
    assert reply.status == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "status.example.com"])
def test_names_of_this_machine_and_allowed_ones_are_served(http: Address, host: str) -> None:
    assert call(http, GET_TASK, {"name": RUNNING}, host=host).status == 200


@pytest.mark.parametrize("origin", ["*", "example.com", "https://example.com/", "ftp://a"])
def test_what_is_no_origin_is_no_setting(origin: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(http_allowed_origins=[origin])
