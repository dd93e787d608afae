"""The decisions of policies, the rejection of invalid ones, and `taskgate policy check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_client.commands import main
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import ANONYMOUS, Caller
from taskgate_server.auth.examples import Example, find_failures, load_examples
from taskgate_server.auth.guard import DEFAULT_POLICY
from taskgate_server.auth.policy import Policy, _cedar_request
from taskgate_server.auth.resources import Path as ResourcePath
from taskgate_server.auth.resources import named_path
from taskgate_server.reloading import RejectedError

FOLDER = Path(__file__).parents[2] / "docs/examples"
POLICY, EXAMPLES = FOLDER / "policy.cedar", FOLDER / "policy-examples.yaml"

ALICE = Caller("User", "alice", ("render",))
TASK = named_path("deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t")
READ = action_of("taskgate.v1.TaskService/GetTask")
WRITE = action_of("taskgate.v1.TaskService/RetryTask")
DELETE = action_of("taskgate.deadline.v1.DeadlineService/DeleteQueue")
CREDENTIALS = action_of("taskgate.deadline.v1.DeadlineService/AssumeQueueRoleForUser")
ALL = (READ, WRITE, DELETE, CREDENTIALS)


def allowed(text: str, caller: Caller = ALICE, path: ResourcePath = TASK) -> list[str]:
    return allowed_by(Policy([("test", text)]), caller, path)


def allowed_by(policy: Policy, caller: Caller, path: ResourcePath = TASK) -> list[str]:
    return [action.group for action in ALL if policy.allows(caller, action, path)]


@pytest.mark.parametrize("example", load_examples(EXAMPLES), ids=str)
def test_documented_examples_have_the_expected_decision(example: Example) -> None:
    assert find_failures(Policy([("policy", POLICY.read_text())]), [example]) == []


def test_wrong_examples_are_reported() -> None:
    wrong = Example(principal="User::x", action="tasks/GetTask", resource="omics", decision="allow")
    unknown = wrong.model_copy(update={"action": "tasks/GetTaks"})
    lines = find_failures(Policy([("policy", POLICY.read_text())]), [wrong, unknown])
    assert ["the policy says deny" in lines[0], "no action" in lines[1]] == [True, True]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", []),
        ("permit (principal, action, resource);", ["read", "write"]),
        ('permit (principal, action in Action::"read", resource);', ["read"]),
        ('permit (principal, action in Action::"delete", resource);', ["delete"]),
        ('permit (principal, action == Action::"deadline/DeleteQueue", resource);', ["delete"]),
        ('permit (principal, action in [Action::"credentials"], resource);', ["credentials"]),
        (
            'permit (principal, action in Action::"delete", resource);'
            "forbid (principal, action, resource);",
            [],
        ),
        ('permit (principal in Group::"render", action in Action::"read", resource);', ["read"]),
        ('permit (principal in Group::"other", action in Action::"read", resource);', []),
        ('permit (principal is Service, action in Action::"read", resource);', []),
        (
            'permit (principal, action in Action::"read", resource)'
            ' when { principal.id like "al*" };',
            ["read"],
        ),
        (
            'permit (principal, action in Action::"read", resource in Deadline::Farm::"f");',
            ["read"],
        ),
        ('permit (principal, action in Action::"read", resource in Deadline::Queue::"other");', []),
        ('permit (principal, action in Action::"read", resource in Omics::Run::"f");', []),
    ],
)
def test_policy_allows_groups_of_actions(text: str, groups: list[str]) -> None:
    assert allowed(text) == groups


def test_permit_for_a_type_of_one_service_is_none_for_another() -> None:
    policy = Policy([("test", 'permit (principal, action, resource == Omics::Task::"1");')])
    omics = (("AwsService", "omics"), ("Run", "7"), ("Task", "1"))
    deadline = (("AwsService", "deadline"), ("Step", "7"), ("Task", "1"))
    assert policy.allows(ALICE, READ, omics)
    assert not policy.allows(ALICE, READ, deadline)


def test_default_policy_lets_authenticated_callers_read() -> None:
    text = DEFAULT_POLICY.read_text()
    for caller in (ALICE, Caller("Service", "x"), Caller("Certificate", "x")):
        assert allowed(text, caller) == ["read"]
    assert allowed(text, ANONYMOUS) == []
    # The server parses it without the checks that other policies pass.
    parsed = Policy([("default", text)], ships_with_server=True)
    for caller in (ALICE, Caller("Service", "x"), Caller("Certificate", "x"), ANONYMOUS):
        assert allowed_by(parsed, caller) == allowed(text, caller)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("permit (principal, action, resource)", "test: "),
        ('permit (principal, action == Action::"tasks/GetTaks", resource);', "GetTaks"),
        ('permit (principal, action, resource in Queu::"q");', "Queu"),
        ("permit (principal, action, resource) when { principal.name == 1 };", "name"),
        ("permit (principal, action, resource) when { resource.owner == principal };", "owner"),
    ],
)
def test_policy_with_a_typing_error_is_rejected(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Policy([("test", text)])


# Whatever a caller may write in a name or an issuer in a subject. Not half characters alone: what
# Cedar cannot read must be denied, too.
TEXTS = st.one_of(st.text(), st.sampled_from(['"', "\\", "q", 'x" , Queue::"q', "\ud800", "\0"]))
ONE_QUEUE = Policy([("test", 'permit (principal, action, resource in Deadline::Queue::"q");')])


@given(
    farm=TEXTS, queue=TEXTS.filter(lambda key: key != "q"), job=TEXTS, subject=TEXTS, group=TEXTS
)
def test_ids_cannot_imitate_another_resource(
    farm: str, queue: str, job: str, subject: str, group: str
) -> None:
    path = (("AwsService", "deadline"), ("Farm", farm), ("Queue", queue), ("Job", job))
    assert not ONE_QUEUE.allows(Caller("User", subject, (group,)), READ, path)


@given(
    name=st.lists(TEXTS, max_size=9).map("/".join)
    | st.lists(st.sampled_from(["farms", "queues", "queue", "jobs", "r", "deadline", ""])).map(
        "/".join
    )
)
def test_names_without_the_queue_are_not_in_the_queue(name: str) -> None:
    if "queues/q" not in name:
        assert not ONE_QUEUE.allows(ALICE, READ, named_path(name))


def check(*arguments: object) -> int:
    return main.main(["policy", "check", *(str(each) for each in arguments)])


def test_policy_check_accepts_a_valid_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(POLICY, "--examples", EXAMPLES) == 0
    assert "21 examples" in capsys.readouterr().out


BAD_EXAMPLES: Sequence[tuple[str, str]] = [
    ("- {", "is not YAML"),
    ("- principal: alice", "examples.yaml: 0.principal"),
    (EXAMPLES.read_text().replace("decision: allow", "decision: deny"), "example 1: User::alice"),
]


@pytest.mark.parametrize(("text", "fault"), BAD_EXAMPLES)
def test_policy_check_reports_wrong_examples(
    text: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "examples.yaml"
    file.write_text(text)
    assert check(POLICY, "--examples", file) == 1
    assert fault in capsys.readouterr().err


def test_policy_check_reports_an_invalid_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.cedar"
    file.write_text("permit everything;")
    assert check(file) == 1
    assert "bad.cedar" in capsys.readouterr().err
    assert check(tmp_path / "absent.cedar") == 1
    assert "No such file" in capsys.readouterr().err


def failing(error: BaseException) -> Any:
    def is_authorized(*_: object) -> None:
        raise error

    return is_authorized


@pytest.mark.bug
@pytest.mark.parametrize(
    "error", [ValueError(), RecursionError(), BaseExceptionGroup("x", [KeyError()])]
)
def test_any_failure_of_an_evaluation_denies(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy([("test", 'permit (principal, action in Action::"read", resource);')])
    assert policy.allows(ALICE, READ, TASK)
    monkeypatch.setattr(cedarpy, "is_authorized", failing(error))
    assert not policy.allows(ALICE, READ, TASK)


def test_a_forbid_that_cannot_be_evaluated_denies() -> None:
    # The trials at the start do not reach this: it is about one caller alone.
    policy = Policy(
        [
            (
                "test",
                "permit (principal, action, resource);"
                'forbid (principal == User::"alice", action, resource)'
                " when { 9223372036854775807 + 1 == 2 };",
            )
        ]
    )
    bob = Caller("User", "bob")
    assert [policy.allows(each, READ, TASK) for each in (bob, ALICE)] == [True, False]
    # Cedar by itself skips the policy, and allows.
    request, entities = _cedar_request(ALICE, READ, TASK, "default")
    assert cedarpy.is_authorized(request, policy._all, entities).allowed


DEPTHS: dict[str, Callable[[int], str]] = {
    "parentheses": lambda depth: "(" * depth + "true" + ")" * depth,
    "or": lambda depth: " || ".join(['principal.id == "x"'] * depth),
    "and": lambda depth: " && ".join(['principal.id != "x"'] * depth),
    "if": lambda depth: "if true then " * depth + "true" + " else false" * depth,
    "not": lambda depth: "!(" * depth + "true" + ")" * depth,
    "sets": lambda depth: "[" * depth + "1" + "]" * depth + " == [1]",
}


TOO_DEEP = {("sets", 8), ("sets", 24)}


@pytest.mark.parametrize("what", DEPTHS)
@pytest.mark.parametrize("depth", [8, 24, 1024, 8192])
def test_deeply_nested_policy_is_rejected(what: str, depth: int) -> None:
    text = f"permit (principal, action, resource) when {{ {DEPTHS[what](depth)} }};"
    if depth > 64 or (what, depth) in TOO_DEEP:
        with pytest.raises(RejectedError) as caught:
            Policy([("test", text)])
        assert len(caught.value.summary) < 256
    else:
        # What the child accepts, the server evaluates, too.
        assert Policy([("test", text)]).allows(ALICE, READ, TASK) is (what != "or")


def test_policy_check_reports_a_crash_of_the_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.cedar"
    nested = DEPTHS["parentheses"](1500)
    file.write_text(f"permit (principal, action, resource) when {{ {nested} }};")
    assert check(file) == 1
    assert "crashes Cedar's parser" in capsys.readouterr().err
