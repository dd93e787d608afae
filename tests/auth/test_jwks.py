"""Key sets: malformed ones, redirects, slow issuers, and keys that rotate."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from taskgate_server import app, errors
from taskgate_server.auth.jwks import (
    FETCH_SECONDS,
    MAX_KEYS,
    RETRY_SECONDS,
    FetchedKeys,
    fetch,
    read_keys,
)
from taskgate_server.auth.tokens import Tokens
from taskgate_server.config import Settings, SettingsError
from taskgate_server.reloading import RejectedError
from tests.auth.token_rules import RULES
from tests.auth.web_server import redirect, send, web
from tests.support.authority import LOOPBACK, Authority
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.seeds import examples

# --- What a set may hold --------------------------------------------------------------------------

EC_KEY: dict[str, Any] = json.loads(
    ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
)
RSA_KEY: dict[str, Any] = json.loads(
    RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key())
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
MEMBERS = st.sampled_from([*EC_KEY, *RSA_KEY, "kid", "use", "key_ops", "alg", "d", "k", "x5c"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "oct", "sig", "enc", "P-256", "ES256", "none", "AQAB"])


@st.composite
def mutated_keys(draw: st.DrawFn) -> Any:
    """Return a valid key with some members replaced."""
    key = dict(draw(st.sampled_from([EC_KEY, RSA_KEY])))
    for name in draw(st.lists(MEMBERS, min_size=1, max_size=4)):
        key[name] = draw(JSON | WORDS)
    return key


SETS = JSON | st.fixed_dictionaries({"keys": JSON | st.lists(mutated_keys() | JSON, max_size=4)})


@settings(max_examples=examples(400))
@given(found=SETS)
def test_malformed_key_set_is_rejected(found: Any) -> None:
    try:
        keys = read_keys(json.dumps(found).encode())
    except RejectedError:
        return
    for key_id, key in keys.items():
        assert key_id is None or isinstance(key_id, str)
        assert key.key_type != "oct"


@given(data=st.binary(max_size=100) | st.sampled_from([b"[" * 100_000, b'{"keys":' * 50_000]))
def test_arbitrary_bytes_are_rejected_as_a_key_set(data: bytes) -> None:
    with pytest.raises(RejectedError):
        read_keys(data)


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {"kty": "RSA"},
        EC_KEY | {"kid": ["a"]},
        EC_KEY | {"crv": "P-1"},
        EC_KEY | {"x": 5},
        RSA_KEY | {"n": "AA", "e": ""},
        {"kty": "oct", "k": "YQ"},
        EC_KEY | {"use": "enc"},
        EC_KEY | {"use": ["sig"]},
        EC_KEY | {"key_ops": ["encrypt"]},
        EC_KEY | {"key_ops": "verify"},
    ],
)
def test_unusable_key_is_skipped(bad: Any) -> None:
    good = RSA_KEY | {"kid": "good", "use": "sig", "key_ops": ["verify"]}
    assert set(read_keys(json.dumps({"keys": [bad, good]}).encode())) == {None, "good"}
    with pytest.raises(RejectedError, match="no public key that verifies"):
        read_keys(json.dumps({"keys": [bad]}).encode())


def test_key_set_with_too_many_keys_is_rejected() -> None:
    with pytest.raises(RejectedError, match="more than"):
        read_keys(json.dumps({"keys": [EC_KEY] * (MAX_KEYS + 1)}).encode())


@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["encrypt"]}], ids=str)
async def test_a_token_signed_by_a_key_for_encryption_is_rejected(change: dict[str, Any]) -> None:
    issuer = Issuer()
    published = json.loads(issuer.published())
    tokens = Tokens(FetchedKeys("keys", lambda _: json.dumps(published).encode()), RULES)
    assert (await tokens.verify(issuer.sign())).id == "alice"
    # A decoy, so that the set as a whole can be used.
    published["keys"] = [published["keys"][0] | change, EC_KEY | {"kid": "decoy"}]
    tokens = Tokens(FetchedKeys("keys", lambda _: json.dumps(published).encode()), RULES)
    with pytest.raises(errors.TaskgateError) as caught:
        await tokens.verify(issuer.sign())
    assert caught.value.reason == "TOKEN_INVALID"
    # PyJWT itself would have accepted it.
    key = jwt.PyJWKSet.from_dict(published)[issuer.key_id]
    assert jwt.decode(issuer.sign(), key, algorithms=["ES256"], audience=AUDIENCE)


@pytest.mark.parametrize(
    "published", [b"", b"[1]", b'{"keys": [{"kid": []}]}', b'{"keys": 5}', b"[" * 100_000], ids=len
)
async def test_malformed_key_set_makes_keys_unavailable(published: bytes) -> None:
    source = FetchedKeys("keys", lambda _: published)
    with pytest.raises(errors.TaskgateError) as caught:
        await Tokens(source, RULES).verify(Issuer().sign())
    assert (caught.value.code, caught.value.reason) == (StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
    assert (source.is_current, source.rejected) == (False, 1)


@pytest.mark.parametrize("error", [ValueError, RecursionError, StopIteration, GeneratorExit])
async def test_failed_fetch_keeps_previous_keys_until_the_next_fetch(
    error: type[BaseException],
) -> None:
    issuer, is_broken = Issuer(), False

    def load(_: str) -> bytes:
        if is_broken:
            raise error
        return issuer.published()

    source = FetchedKeys("keys", load)
    await source.refresh()
    is_broken = True
    await asyncio.wait_for(source.refresh(), 10)
    assert await source.find(issuer.key_id) is not None
    assert not source.is_current
    is_broken = False
    issuer.rotate()
    await source.refresh()
    assert await source.find(issuer.key_id) is not None
    assert (source.changes, source.rejected) == (2, 1)


# --- Waiting for keys -----------------------------------------------------------------------------


class SlowIssuer:
    """Publishes its keys when it is released."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.fetches = 0
        self.now = 0.0
        self.go_on = threading.Event()
        self.go_on.set()
        self.source = FetchedKeys("keys", self.load, lambda: self.now)

    def load(self, _: str) -> bytes:
        self.fetches += 1
        assert self.go_on.wait(10)
        return self.issuer.published()


async def test_known_key_is_found_during_a_fetch_and_fetches_are_shared() -> None:
    slow = SlowIssuer()
    await slow.source.refresh()
    known = slow.issuer.key_id
    slow.issuer.rotate()
    slow.now += RETRY_SECONDS
    slow.go_on.clear()
    waiting = [asyncio.ensure_future(slow.source.find(slow.issuer.key_id)) for _ in range(50)]
    await asyncio.sleep(0)
    finding = asyncio.ensure_future(slow.source.find(known))
    await asyncio.sleep(0)  # one turn: nothing that blocks or waits is in between
    assert finding.done()
    assert finding.result() is not None
    # One who gives up does not take the fetch from the others.
    waiting.pop().cancel()
    slow.go_on.set()
    assert None not in await asyncio.gather(*waiting)
    assert slow.fetches == 2


# --- Where keys come from -------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return a certificate for a local web server, of an authority that OpenSSL trusts."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    certificate, key = authority.issue("issuer", *LOOPBACK).write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_redirect_out_of_tls_is_refused(tls: ssl.SSLContext) -> None:
    with (
        web(send(b"keys of a stranger")) as cleartext,
        web(redirect(cleartext), tls) as address,
        web(redirect(address), tls) as twice,
    ):
        for each in (address, twice):
            with pytest.raises(RejectedError, match="redirects to one without TLS"):
                fetch(each)
        # urllib by itself follows it.
        with urllib.request.urlopen(address) as response:  # noqa: S310  # our own
            assert response.read() == b"keys of a stranger"


def test_a_redirect_within_tls_is_followed(tls: ssl.SSLContext) -> None:
    with web(send(b"keys"), tls) as keys, web(redirect(keys), tls) as address:
        assert fetch(address) == b"keys"


@pytest.mark.parametrize(
    ("handle", "fault"),
    [
        (redirect("file:///etc/hostname"), "HTTP status 302"),
        (redirect("http://192.0.2.1/keys"), "without TLS"),
        (lambda request: request.send_error(503), "HTTP status 503"),
        (send(b"x" * (1024 * 1024 + 1)), "more than 1048576 bytes"),
        (lambda request: request.connection.close(), "cannot be"),
    ],
)
def test_response_that_is_not_a_key_set_is_reported(
    handle: Callable[[BaseHTTPRequestHandler], None], fault: str
) -> None:
    with web(handle) as address, pytest.raises(RejectedError, match=fault):
        fetch(address)


def test_unreachable_issuer_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RejectedError, match=r"cannot be reached \(ConnectionRefusedError\)"):
        fetch(f"http://127.0.0.1:{port}/keys")


@pytest.mark.parametrize("part", ["headers", "body"])
@pytest.mark.timed
async def test_fetch_has_a_total_timeout_and_does_not_block(part: str) -> None:
    over = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        start = b"HTTP/1.0 200 OK\r\n" + (b"X-Slow: " if part == "headers" else b"\r\n")
        try:
            request.wfile.write(start)
            while not over.wait(0.5):
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            return

    with web(drip) as address:
        source = FetchedKeys(address)
        began, turns = time.monotonic(), 0
        finding = asyncio.ensure_future(source.find("key"))
        while not finding.done():
            await asyncio.sleep(0.01)
            turns += 1
        took = time.monotonic() - began
        over.set()
    with pytest.raises(errors.TaskgateError, match="KEYS_UNAVAILABLE"):
        finding.result()
    assert FETCH_SECONDS <= took < FETCH_SECONDS + 2
    assert turns > 100
    assert source.rejected == 1


@pytest.mark.parametrize(
    "address", ["http://login.example/keys", "http://10.0.0.1/keys", "http://127.0.0.1@evil/keys"]
)
def test_keys_over_plaintext_from_another_machine_prevent_the_start(address: str) -> None:
    wanted = Settings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys=address)
    with pytest.raises(SettingsError, match=r"jwt_keys: .*use https:// or a file"):
        app.build(wanted)


@pytest.mark.parametrize("address", ["https://login.example/keys", "http://127.0.0.1:1/keys"])
async def test_keys_with_tls_or_from_this_machine_start(address: str) -> None:
    wanted = Settings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys=address)
    await app.build(wanted).close()


def test_unusable_key_file_prevents_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    wanted = Settings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys=str(file))
    with pytest.raises(SettingsError, match=r"keys\.json: No such file"):
        app.build(wanted)
    file.write_text("[]")
    with pytest.raises(SettingsError, match=r"keys\.json: is not a JSON Web Key Set"):
        app.build(wanted)
