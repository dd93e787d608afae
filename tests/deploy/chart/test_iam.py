"""The AWS policies are what the modes let callers do, and no more."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from deploy.generate import iam
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from tests.deploy.chart.rendered import ROOT

MODES = ("read-only", "operate", "full")
UNLISTED = {
    "deadline": {
        "DeleteVolume",
        "GetMonitorSettings",
        "GetVolume",
        "ListMemberships",
        "ListVolumes",
        "UpdateMonitorSettings",
    },
    "omics": {
        "CancelRunBatch",
        "DeleteBatch",
        "DeleteRunBatch",
        "GetBatch",
        "ListBatch",
        "ListRunsInBatch",
        "StartRunBatch",
    },
}
"""Actions newer than the reference."""
MAX_CHARACTERS = 6144
"""Of a managed policy, without white space:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


def statements(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / f"deploy/iam/{name}.json").read_text())[
        "Statement"
    ]
    return found


def actions(mode: str) -> set[str]:
    return {
        action
        for spec in SERVICES
        for statement in statements(f"{mode}-{spec.name}")
        for action in statement["Action"]
    }


def test_policies_are_up_to_date() -> None:
    made = iam.generate(ROOT)
    assert {path: path.read_text() for path in made} == made, "make chart writes them anew"
    assert set(made) == set((ROOT / "deploy/iam").iterdir())


def test_each_mode_includes_the_lower_one() -> None:
    assert actions("read-only") < actions("operate") < actions("full")
    assert actions("operate") - actions("read-only") == {"deadline:UpdateTask", "omics:CancelRun"}


def test_read_only_changes_nothing() -> None:
    verbs = {
        verb
        for action in actions("read-only")
        for verb in re.findall(r"^\w+:([A-Z][a-z]+)", action)
    }
    assert verbs == {"Get", "List", "Search", "Batch"}
    batches = {action for action in actions("read-only") if ":Batch" in action}
    # It reads what workers ask for, and nothing else reads it.
    assert batches == {"deadline:BatchGetJobEntity"}


def test_full_has_every_operation() -> None:
    for spec in SERVICES:
        names = set(model.load_service(spec.name).operation_names)
        expected = {
            f"{spec.name}:{single if (single := name.removeprefix('Batch')) in names else name}"
            for name in names
        }
        assert {each for each in actions("full") if each.startswith(f"{spec.name}:")} == expected


def test_policies_include_what_the_docs_require() -> None:
    """docs/security.md has the narrower ones, docs/events.md that of the queue."""
    docs = (ROOT / "docs/security.md").read_text().partition("## The server's own rights")[2]
    named = set(re.findall(r'"((?:deadline|omics|logs):[A-Z]\w+)"', docs))
    assert len(named) > 10
    assert named <= actions("operate")
    events = (ROOT / "docs/events.md").read_text()
    (statement,) = statements("events")
    assert set(re.findall(r'"(sqs:\w+Message)"', events)) - {"sqs:SendMessage"} == set(
        statement["Action"]
    )


def resources(statement: dict[str, Any]) -> list[str]:
    found = statement["Resource"]
    return [found] if isinstance(found, str) else found


@pytest.mark.parametrize("mode", MODES)
def test_actions_are_restricted_to_resources_of_one_account_and_region(mode: str) -> None:
    for spec in SERVICES:
        for statement in statements(f"{mode}-{spec.name}"):
            if statement["Resource"] == "*":
                condition = statement["Condition"]
                assert condition == {"StringEquals": {"aws:RequestedRegion": "REGION"}}
                continue
            for arn in resources(statement):
                shared = "arn:aws:omics:REGION:*:workflow/*"
                assert ":ACCOUNT:" in arn or arn == shared
                assert ":REGION:" in arn or arn.startswith("arn:aws:iam::")


@pytest.mark.parametrize("mode", MODES)
def test_only_actions_without_resources_are_allowed_on_everything(mode: str) -> None:
    """As AWS's service authorization reference has it: on `*` or not at all."""
    for spec in SERVICES:
        words = iam.load_resource_words()[spec.name]
        for statement in statements(f"{mode}-{spec.name}"):
            names = [each.removeprefix(f"{spec.name}:") for each in statement["Action"]]
            if statement["Resource"] == "*":
                assert [name for name in names if words.get(name)] == []
            elif statement["Sid"] == spec.name.capitalize():
                arns = resources(statement)
                for name in names:
                    assert words[name]
                    assert all(any(f":{word}/" in arn for arn in arns) for word in words[name])


def test_all_actions_but_new_ones_are_in_the_reference() -> None:
    """Those it lacks are in statements on `*`; take them out here once the table has them."""
    for spec in SERVICES:
        words = iam.load_resource_words()[spec.name]
        named = {each.partition(":")[2] for each in actions("full") if each.startswith(spec.name)}
        assert named - set(words) == UNLISTED[spec.name]
        assert set(words) <= named


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("deadline:GetTask", "arn:aws:deadline:REGION:ACCOUNT:farm/*"),
        ("omics:GetRunTask", "arn:aws:omics:REGION:ACCOUNT:task/*"),
        ("omics:GetRunTask", "arn:aws:omics:REGION:ACCOUNT:run/*"),
        ("omics:ListRuns", "*"),
        ("deadline:SearchWorkers", "*"),
    ],
)
def test_an_action_has_the_resources_of_the_reference(action: str, resource: str) -> None:
    name = f"read-only-{action.partition(':')[0]}"
    [statement] = [each for each in statements(name) if action in each["Action"]]
    assert resource in resources(statement)


def test_only_full_may_pass_roles_and_only_to_the_service() -> None:
    assert "iam:PassRole" not in actions("operate")
    for spec in SERVICES:
        (statement,) = (
            each for each in statements(f"full-{spec.name}") if each["Action"] == ["iam:PassRole"]
        )
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": f"{spec.name}.amazonaws.com"}
        }


def test_each_policy_fits_into_a_managed_policy() -> None:
    for path in (ROOT / "deploy/iam").iterdir():
        assert len(re.sub(r"\s", "", path.read_text())) <= MAX_CHARACTERS, path.name
