"""What AWS says of a failure, without what it says of the account."""

from __future__ import annotations

import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server import errors
from taskgate_server.error_texts import redact_secrets, sanitize
from taskgate_server.status import to_status

FARM = f"farm-{'ab' * 16}"
ORIGIN = errors.Origin(
    service="deadline", title="AWS Deadline Cloud", domain="deadline.amazonaws.com", operation="X"
)

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/TaskgateRole/i-0abcdef is not authorized to"
    f" perform: deadline:GetJob on resource: arn:aws:deadline:us-west-2:123456789012:farm/{FARM}"
    " because no identity-based policy allows the deadline:GetJob action"
)
SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS"
    " Secret Access Key and signing method.\n\nThe Canonical String for this request should have"
    " been\n'GET\n/2023-10-12/farms\n\nhost:deadline.us-west-2.amazonaws.com\n"
    "x-amz-security-token:IQoJb3JpZ2luX2Vj\n'\n\nThe String-to-Sign should have been\n'AWS4'"
)


def test_a_denial_keeps_action_and_resource() -> None:
    assert sanitize(DENIED) == (
        f"User: [identity] is not authorized to perform: deadline:GetJob on resource: farm/{FARM}"
        " because no identity-based policy allows the deadline:GetJob action"
    )


@pytest.mark.parametrize(
    "text",
    [
        "The security token included in the request is invalid",
        f"Job job-{'1' * 32} of {FARM} is not in a state that allows this",
        "Run 1234567 and read set 1234567890 were not found",
        "request 11111111-2222-4333-8444-555555555555",
        "workflow/1234567/version/v1.0 at s3://bucket/prefix/object.cram",
        "1 validation error detected: Value 'x' at 'farmId' failed to satisfy constraint",
        "Rate exceeded",
        "",
        "日本語",
    ],
)
def test_text_without_account_details_is_unchanged(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        (SIGNATURE, ["IQoJb3JpZ2luX2Vj", "amazonaws", "/2023-10-12/farms"]),
        ("Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m6X-abc", ["4GIO", "abc"]),
        ("Credential=AKIDEXAMPLE/20260101/us-east-1, Signature=5d672d79c1", ["AKID", "5d672d"]),
        ("AKIAIOSFODNN7EXAMPLE and AROA1234567890ABCDEF:the-session", ["AKIA", "the-session"]),
        ("assumed-role/Admin/alice@example.com, and role/path/Name", ["Admin", "alice", "Name"]),
        ("at https://10.0.0.7:8443/x of ip-10-0-0-7.ec2.internal", ["10.0", "10-0", "/x"]),
        ("account 123456789012; 1234-5678-9012; logs-123456789012-x", ["9012"]),
        ("arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2FName", ["123456789012", "Name"]),
        ("java.lang.NullPointerException at com.amazon.coral.Foo /opt/amazon/x.jar",
         ["java.lang", "coral", "/opt"]),
        ("RoleSessionName = worker-7", ["worker-7"]),
        ("arn:aws:iam::123456789012:role/Q0,.q/leak, arn:aws:sts::1:x/a,,leak", ["leak"]),
        (f"token {'aB3' * 60}", ["aB3aB3"]),
    ],
)  # fmt: skip
def test_account_details_are_removed(text: str, leaks: list[str]) -> None:
    shown = sanitize(text)

    assert [leak for leak in leaks if leak in shown] == []


PROSE = st.text(alphabet="abcdefg XYZ\n", max_size=30)
SEPARATORS = st.sampled_from([" ", ": ", ", ", " '", ' "', "(", "=", "\n", " [", ";", "/ "])
ACCOUNTS = st.text(string.digits, min_size=12, max_size=12)
NAMES = st.text(f"{string.ascii_letters}{string.digits}+=,.@_-", min_size=3, max_size=40).map(
    lambda name: f"Q{name}q"
)
PARTITIONS = st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso-b"])
IDENTITIES = st.sampled_from(["role", "user", "assumed-role", "federated-user", "policy", "group"])


@st.composite
def arns(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An ARN, and what of it may not be shown."""
    partition, account = draw(PARTITIONS), draw(ACCOUNTS)
    if draw(st.booleans()):
        name, session = draw(NAMES), draw(NAMES)
        kind, service = draw(IDENTITIES), draw(st.sampled_from(["iam", "sts"]))
        return f"arn:{partition}:{service}::{account}:{kind}/{name}/{session}", [
            account,
            name,
            session,
        ]
    service = draw(st.sampled_from(["deadline", "omics"]))
    return f"arn:{partition}:{service}:us-west-2:{account}:farm/{FARM}", [account]


KEYS = st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map(
    lambda rest: (f"AKIA{rest}", [f"AKIA{rest}"])
)
BARE = ACCOUNTS.map(lambda account: (account, [account]))


@given(
    before=PROSE,
    parts=st.lists(
        st.tuples(SEPARATORS, st.one_of(arns(), KEYS, BARE), PROSE), min_size=1, max_size=4
    ),
)
def test_no_account_identifier_remains(
    before: str, parts: list[tuple[str, tuple[str, list[str]], str]]
) -> None:
    text = before + "".join(
        f"{separator}{identifier}{separator}{after}" for separator, (identifier, _), after in parts
    )

    shown = sanitize(text)

    secrets = [secret for _, (_, found), _ in parts for secret in found]
    assert [secret for secret in secrets if secret in shown] == []
    assert not re.search(r"arn:|(?<![0-9A-Za-z])[0-9]{12}(?![0-9A-Za-z])", shown)


@given(st.one_of(arns(), KEYS, BARE), st.sampled_from(["message", "reason", "resourceId", "a map"]))
def test_no_part_of_an_error_has_an_account_identifier(
    identifier: tuple[str, list[str]], member: str
) -> None:
    text, secrets = identifier
    response = {
        "Error": {"Code": "ResourceNotFoundException", "Message": text},
        "fieldList": [{"name": text, "message": text}],
        "context": {text: text} if member == "a map" else {},
        "ResponseMetadata": {"RequestId": "request-1", "HTTPStatusCode": 404},
        **({} if member == "a map" else {member: text}),
    }

    error = errors.from_aws(response, ORIGIN)

    shown = f"{error} {error.metadata} {error.details} {to_status(error, 'call')}"
    assert [secret for secret in secrets if secret in shown] == []
    assert error.reason == "RESOURCE_NOT_FOUND_EXCEPTION"
    assert error.aws_request_id == "request-1"


def test_redaction_keeps_names_and_removes_secrets() -> None:
    assert redact_secrets(DENIED) == DENIED
    shown = redact_secrets(f"{SIGNATURE} AKIAIOSFODNN7EXAMPLE")
    assert "security-token" not in shown
    assert "AKIA" not in redact_secrets("key AKIAIOSFODNN7EXAMPLE")


@pytest.mark.alone  # it has a budget of CPU time, which takes longer beside others
@pytest.mark.parametrize(
    "unit", ["a.", "a", "1", "-", "arn:", "/a", "aA1", "a,", "token=", "1.", " "]
)
def test_a_long_text_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))

    began = time.process_time()
    shown = sanitize(text)

    assert time.process_time() - began < 0.1
    assert len(shown) <= len(text)
