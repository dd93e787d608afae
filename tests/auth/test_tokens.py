"""Verification of tokens, errors for refused tokens, and rotation of keys."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgate_server import errors
from taskgate_server.auth import jwks as keys
from taskgate_server.auth import tokens as token_verification
from taskgate_server.auth.authentication import Caller, Callers
from taskgate_server.auth.jwks import FetchedKeys, FileKeys, read_keys
from taskgate_server.auth.tokens import TokenRules, Tokens
from tests.auth.token_rules import RULES
from tests.support.issuer import AUDIENCE, HOUR, ISSUER, Issuer
from tests.support.seeds import examples


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Wire:
    """A call with a bearer token."""

    def __init__(self, value: str) -> None:
        self._value = value

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return [("user-agent", "x"), ("authorization", self._value)]

    def auth_context(self) -> dict[str, list[bytes]]:
        raise AssertionError("certificates are not needed")

    def peer(self) -> str:
        raise AssertionError("the address is not needed")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def tokens_of(issuer: Issuer, rules: TokenRules = RULES, clock: Clock | None = None) -> Tokens:
    clock = clock or Clock()

    def load(_: str) -> bytes:
        issuer.fetches += 1
        return issuer.published()

    return Tokens(FetchedKeys("keys", load, clock), rules, clock)


async def refusal(tokens: Tokens, token: str) -> errors.TaskgateError:
    with pytest.raises(errors.TaskgateError) as caught:
        await tokens.verify(token)
    assert not token or token[:40] not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("claims", "reason", "words"),
    [
        ({"exp": int(time.time()) - HOUR}, "TOKEN_EXPIRED", "expired"),
        ({"exp": None}, "TOKEN_INVALID", "claims"),
        ({"sub": None}, "TOKEN_INVALID", "claims"),
        ({"aud": "other"}, "TOKEN_INVALID", "audience"),
        ({"aud": None}, "TOKEN_INVALID", "claims"),
        ({"iss": "https://other.example"}, "TOKEN_INVALID", "issuer"),
        ({"nbf": int(time.time()) + HOUR}, "TOKEN_INVALID", "not valid yet"),
    ],
)
async def test_wrong_claims_are_refused_with_a_remedy(
    issuer: Issuer, claims: dict[str, Any], reason: str, words: str
) -> None:
    error = await refusal(tokens_of(issuer), issuer.sign(**claims))
    assert (error.code, error.reason) == (StatusCode.UNAUTHENTICATED, reason)
    assert words in error.message


async def test_leeway_allows_clock_differences(issuer: Issuer) -> None:
    now = int(time.time())
    for token in (issuer.sign(exp=now - 10), issuer.sign(nbf=now + 10)):
        assert (await tokens_of(issuer).verify(token)).id == "alice"


def forged(issuer: Issuer) -> dict[str, str]:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + HOUR}
    header = {"kid": issuer.key_id}
    stranger = ec.generate_private_key(ec.SECP256R1())
    good = issuer.sign()
    return {
        "unsigned": jwt.encode(claims, "", "none", header),
        "the public key as a secret": jwt.encode(
            claims, issuer.published().decode() + "-" * 64, "HS256", header
        ),
        "another algorithm": jwt.encode(
            claims, ec.generate_private_key(ec.SECP384R1()), "ES384", header
        ),
        "a stranger's key": jwt.encode(claims, stranger, "ES256", header),
        "an unknown key": jwt.encode(claims, stranger, "ES256", {"kid": "made up"}),
        "changed claims": ".".join(
            [good.split(".")[0], issuer.sign("root").split(".")[1], good.split(".")[2]]
        ),
        "no token": "abc",
        "nothing": "",
        "not even letters": "ÿ.ÿ.ÿ",
        "a megabyte": "a" * 1_000_000,
    }


@pytest.mark.parametrize("what", forged(Issuer()))
async def test_forged_tokens_are_refused(issuer: Issuer, what: str) -> None:
    error = await refusal(tokens_of(issuer), forged(issuer)[what])
    assert (error.code, error.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_verified_token_is_cached_until_it_expires() -> None:
    issuer, clock = Issuer(), Clock()
    tokens = tokens_of(issuer, clock=clock)
    token = issuer.sign(exp=int(clock.now) + 20)
    first = await tokens.verify(token)
    assert await tokens.verify(token) is first
    clock.now += 20 + RULES.leeway
    assert await tokens.verify(token) is not first  # PyJWT has the real time, and looks again


async def test_withdrawn_key_is_not_trusted_after_the_next_fetch() -> None:
    issuer, clock, pauses = Issuer(), Clock(), asyncio.Queue[float]()
    source = FetchedKeys("keys", lambda _: issuer.published(), clock)
    tokens = Tokens(source, RULES, clock)
    over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await pauses.put(seconds)
        await over.wait()
        over.clear()

    running = asyncio.ensure_future(source.run(sleep))
    assert await pauses.get() == keys.REFRESH_SECONDS
    old = issuer.sign()
    await tokens.verify(old)
    issuer.rotate()
    clock.now += keys.REFRESH_SECONDS
    over.set()
    await pauses.get()
    running.cancel()
    assert (await refusal(tokens, old)).reason == "TOKEN_INVALID"


async def test_unknown_key_is_fetched_at_a_limited_rate() -> None:
    issuer, clock = Issuer(), Clock()
    tokens = tokens_of(issuer, clock=clock)
    await tokens.verify(issuer.sign())
    issuer.rotate()
    clock.now += keys.RETRY_SECONDS
    await tokens.verify(issuer.sign())
    assert issuer.fetches == 2
    stranger = ec.generate_private_key(ec.SECP256R1())
    for number in range(100):
        made_up = jwt.encode({"sub": "x"}, stranger, "ES256", {"kid": f"made up {number}"})
        await refusal(tokens, made_up)
        clock.now += 0.1
    assert issuer.fetches <= 3


async def test_concurrent_first_calls_share_one_fetch() -> None:
    issuer = Issuer()
    tokens = tokens_of(issuer)
    came = [tokens.verify(issuer.sign(f"user-{number}")) for number in range(20)]
    assert len(await asyncio.gather(*came)) == 20
    assert issuer.fetches == 1


async def test_previous_keys_remain_active_while_the_issuer_is_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer, clock = Issuer(), Clock()
    is_down = False

    def load(_: str) -> bytes:
        if is_down:
            raise OSError("no route")
        return issuer.published()

    source = FetchedKeys("keys", load, clock)
    tokens = Tokens(source, RULES, clock)
    await tokens.verify(issuer.sign())
    assert (source.is_current, source.rejected) == (True, 0)
    is_down = True
    clock.now += keys.REFRESH_SECONDS
    await source.refresh()
    assert (await tokens.verify(issuer.sign("bob"))).id == "bob"
    assert (source.is_current, source.rejected) == (False, 1)
    assert source.active_seconds == keys.REFRESH_SECONDS
    await source.refresh()
    assert [each.message for each in caplog.records] == ["keys cannot be fetched"]


async def test_missing_keys_make_calls_unavailable() -> None:
    def load(_: str) -> bytes:
        raise OSError("no route")

    error = await refusal(Tokens(FetchedKeys("keys", load), RULES), Issuer().sign())
    assert (error.code, error.reason) == (StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "YQ"}]}', b"\xff"]
)
def test_data_without_public_keys_is_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"[kK]ey"):
        read_keys(data)


@pytest.mark.parametrize(
    ("claim", "claims", "groups"),
    [
        ("groups", {"groups": ["a", "b"]}, ("a", "b")),
        ("groups", {"groups": "a"}, ("a",)),
        ("groups", {"groups": None}, ()),
        ("groups", {"groups": 7}, ()),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, ("a",)),
        ("https://example.com/groups", {"https://example.com/groups": ["a"]}, ("a",)),
    ],
)
async def test_groups_are_found(
    issuer: Issuer, claim: str, claims: dict[str, Any], groups: tuple[str, ...]
) -> None:
    rules = TokenRules(
        issuer=ISSUER, audience=AUDIENCE, algorithms=("ES256",), leeway=30, groups_claim=claim
    )
    callers = Callers(tokens_of(issuer, rules), certificates=False)
    found = await callers.verify(Wire(f"Bearer {issuer.sign(**claims)}"))
    assert found == Caller("User", "alice", groups)


async def test_kubernetes_accounts_are_services(issuer: Issuer) -> None:
    callers = Callers(tokens_of(issuer), certificates=False)
    token = issuer.sign("system:serviceaccount:render:submitter")
    found = await callers.verify(Wire(f"bearer {token}"))
    assert found == Caller("Service", "system:serviceaccount:render:submitter")


@pytest.mark.parametrize("value", ["", "Bearer", "Basic abc", "token"])
async def test_other_schemes_are_refused(issuer: Issuer, value: str) -> None:
    with pytest.raises(errors.TaskgateError, match="Bearer"):
        await Callers(tokens_of(issuer), certificates=False).verify(Wire(value))


async def test_fetched_keys_may_rotate() -> None:
    issuer, clock = Issuer(), Clock()
    with issuer.serving() as address:
        tokens = Tokens(FetchedKeys(address, clock=clock), RULES, clock)
        assert (await tokens.verify(issuer.sign("alice"))).id == "alice"
        issuer.rotate()
        clock.now += keys.RETRY_SECONDS
        assert (await tokens.verify(issuer.sign("bob"))).id == "bob"
        assert issuer.fetches == 2


async def test_keys_in_a_file_may_rotate(tmp_path: Path) -> None:
    issuer, file = Issuer(), tmp_path / "keys.json"
    file.write_bytes(issuer.published())
    source = FileKeys(file)
    tokens = Tokens(source, RULES)
    assert (await tokens.verify(issuer.sign("alice"))).id == "alice"
    issuer.rotate()
    file.write_bytes(issuer.published())
    await source.check()
    assert (await tokens.verify(issuer.sign("bob"))).id == "bob"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"sub": "s" * 257}, "subject must have 1 to 256 characters"),
        ({"sub": ""}, "subject must have 1 to 256 characters"),
        ({"groups": ["g"] * 201}, "has 201 groups, and 200 are allowed"),
        ({"groups": ["g" * 257]}, "groups may have 256 characters"),
        ({"groups": [{"g": "x" * 300}]}, "groups may have 256 characters"),
    ],
)
async def test_claims_are_bounded(issuer: Issuer, claims: dict[str, Any], words: str) -> None:
    error = await refusal(tokens_of(issuer), issuer.sign(**claims))
    assert (error.code, error.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert words in error.message


async def test_claims_at_the_bounds_are_accepted(issuer: Issuer) -> None:
    groups = ["g" * 40 + str(number) for number in range(199)] + ["h" * 256]
    claims = await tokens_of(issuer).verify(issuer.sign("s" * 256, *groups))
    assert claims.groups == tuple(groups)


@pytest.mark.parametrize("exp", [10**400, 1e300, float("inf"), float("nan"), "soon", [], True, -1])
async def test_odd_expiries_are_handled(issuer: Issuer, exp: Any) -> None:
    tokens, token = tokens_of(issuer), issuer.sign(exp=exp)
    if exp == 1e300:
        assert (await tokens.verify(token)).expires_at == exp
    else:
        assert (await refusal(tokens, token)).code is StatusCode.UNAUTHENTICATED


def signed_header(header: bytes) -> str:
    return f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.e30.AAAA"


@settings(max_examples=examples(200))
@given(
    header=st.binary(max_size=60)
    | st.sampled_from([b"[" * 12_000, b'{"a":' * 2_000, b'{"alg": ["ES256"]}'])
    | st.fixed_dictionaries(
        {"alg": st.sampled_from(["ES256", "none", 5, None, ["ES256"]])},
        optional={"kid": st.none() | st.integers() | st.lists(st.text()) | st.text()},
    ).map(lambda header: json.dumps(header).encode())
)
def test_odd_headers_are_rejected(header: bytes) -> None:
    published = Issuer().published()
    tokens = Tokens(FetchedKeys("keys", lambda _: published), RULES)
    with pytest.raises(errors.TaskgateError) as caught:
        asyncio.run(tokens.verify(signed_header(header)))
    assert caught.value.reason == "TOKEN_INVALID"


async def test_token_cache_is_bounded_in_bytes_and_stores_no_tokens(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_verification, "MAX_CACHE_BYTES", 100_000)
    tokens = tokens_of(issuer)
    groups = [f"{'g' * 100}{number}" for number in range(80)]
    many = [issuer.sign(f"user-{number}", *groups) for number in range(30)]
    for token in many:
        await tokens.verify(token)
    cache = tokens._verified
    assert 0 < cache.size <= cache.max_bytes
    assert 1 < len(cache) < len(many)
    # The bound is about memory that is really there.
    kept = sum(sys.getsizeof(group) for _, (_, claims) in values(cache) for group in claims.groups)
    assert cache.size > kept
    assert all(len(key) == 32 for key, _ in values(cache))


def values(cache: Any) -> list[tuple[bytes, Any]]:
    return [(key, entry[0]) for key, entry in cache._entries.items()]


async def test_caller_has_the_expiry_of_its_token_but_equals_it_with_another(
    issuer: Issuer,
) -> None:
    now = int(time.time())
    callers = Callers(tokens_of(issuer), certificates=False)
    first, second = [
        await callers.verify(Wire(f"Bearer {issuer.sign('alice', 'render', exp=now + seconds)}"))
        for seconds in (60, 120)
    ]
    assert (first.expires_at, second.expires_at) == (now + 60, now + 120)
    assert first == second
    assert len({first, second}) == 1
    assert first != Caller("User", "alice")


async def test_cached_caller_has_the_expiry(issuer: Issuer) -> None:
    exp = int(time.time()) + 60
    callers = Callers(tokens_of(issuer), certificates=False)
    wire = Wire(f"Bearer {issuer.sign(exp=exp)}")
    assert [(await callers.verify(wire)).expires_at for _ in range(2)] == [exp, exp]


async def test_caller_is_found_after_its_token_was_verified(issuer: Issuer) -> None:
    clock = Clock()
    callers = Callers(tokens_of(issuer, clock=clock), certificates=False)
    wire = Wire(f"Bearer {issuer.sign()}")
    assert callers.find_verified(wire) is None
    found = await callers.verify(wire)
    assert callers.find_verified(wire) == found
    clock.now += token_verification.MAX_CACHED_SECONDS
    assert callers.find_verified(wire) is None
    for other in ("Basic abc", "", f"Bearer {'a' * 20_000}"):
        assert callers.find_verified(Wire(other)) is None
