"""The docs agree with the code: settings, errors, README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.commands.main import build_parser
from taskgate_server import error_rules, errors
from taskgate_server.aws import model
from taskgate_server.config import AwsSettings, Settings, TargetSettings
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
ERRORS = (ROOT / "docs/errors.md").read_text()
CONTRACT = (ROOT / "docs/contract.md").read_text()
CLI = (ROOT / "docs/cli.md").read_text()
README = (ROOT / "README.md").read_text()


TABLES = ("aws", "targets")
"""Settings that are tables of others."""


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def expected_rows(settings: type[BaseModel], prefix: str, table: str) -> list[list[str]]:
    return [
        [
            f"`{prefix}{name.upper()}`",
            f"`{table}{name}`",
            default(field.get_default(call_default_factory=True)),
            field.description or "",
        ]
        for name, field in settings.model_fields.items()
        if name not in TABLES
    ]


def default(value: object) -> str:
    return "" if value is None else f"`{value}`"


@pytest.mark.parametrize(
    "row",
    [
        *expected_rows(Settings, "TASKGATE_", ""),
        *expected_rows(AwsSettings, "TASKGATE_AWS__<SERVICE>__", "aws.<service>."),
        *expected_rows(TargetSettings, "TASKGATE_TARGETS__<TARGET>__", "targets.<target>."),
    ],
    ids=lambda row: row[0],
)
def test_each_setting_is_in_the_docs(row: list[str]) -> None:
    assert row in rows(CONFIGURATION)


def test_the_docs_have_no_other_setting() -> None:
    names = {row[0] for row in rows(CONFIGURATION) if row[0].startswith("`TASKGATE_")}
    kinds: list[type[BaseModel]] = [Settings, AwsSettings, TargetSettings]
    count = sum(name not in TABLES for kind in kinds for name in kind.model_fields)
    assert len(names) == count


RETRY_TEXTS = {"": error_rules.Retry.NEVER} | {
    "if repeatable": error_rules.Retry.REPEATABLE,
    "yes, a throttle": error_rules.Retry.THROTTLE,
}


def documented_rules(section: str) -> dict[str, tuple[str, error_rules.Retry]]:
    table = ERRORS.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return {
        key: (row[1], RETRY_TEXTS[row[2]])
        for row in rows(table)[1:]
        for key in (row[0].split(", ") if "reason" not in row[0] else [])
    }


def documented_rule(rule: error_rules.Rule) -> tuple[str, error_rules.Retry]:
    return rule.code.name, rule.retry


def test_each_aws_error_is_in_the_docs_with_its_status() -> None:
    expected = {code: documented_rule(rule) for code, rule in error_rules.AWS_ERRORS.items()}
    assert documented_rules("Errors of AWS") == expected


def test_each_http_status_is_in_the_docs_with_its_status() -> None:
    documented = documented_rules("Other codes of AWS")
    assert documented.pop("any other") == ("UNKNOWN", error_rules.Retry.NEVER)
    expected = {
        str(status): documented_rule(rule) for status, rule in error_rules.STATUS_RULES.items()
    }
    assert documented == expected


def test_each_reason_of_taskgate_is_in_the_docs_with_its_status() -> None:
    table = ERRORS.partition("## Taskgate's own errors")[2]
    documented = {row[0]: row[1] for row in rows(table)[1:]}
    assert documented == {reason: reason.status.name for reason in errors.Reason}


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_every_modelled_error_is_in_the_table(spec: ServiceSpec) -> None:
    service = model.load_service(spec.name)
    codes = {shape.name for op in model.operations(service) for shape in op.error_shapes}
    assert codes <= set(error_rules.AWS_ERRORS)


def contract_examples() -> list[str]:
    table = CONTRACT.partition("## How AWS's shapes look")[2].partition("###")[0]
    return [row[2].partition("`")[2].partition("`")[0] for row in rows(table) if "`" in row[2]]


@pytest.mark.parametrize("example", contract_examples())
def test_each_example_is_in_the_contract(example: str) -> None:
    protos = "".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))
    assert example in protos


def test_each_metadata_key_is_in_the_docs() -> None:
    server = ROOT / "server/taskgate_server"
    source = "".join(
        (server / name).read_text()
        for name in ("calls.py", "pipeline/metadata.py", "pipeline/response.py")
    )
    source += (ROOT / "clients/python/taskgate_client/parents.py").read_text()
    keys = set(re.findall(r'_KEY(?:: Final)? = "(taskgate-[a-z-]+)"', source))
    table = CONTRACT.partition("## Metadata")[2].partition("\n## ")[0]
    assert len(keys) > 3
    assert {row[0].strip("`") for row in rows(table)} - {"key"} == keys


def test_the_readme_counts_as_the_model_does() -> None:
    counts = [len(model.load_service(spec.name).operation_names) for spec in SERVICES]
    assert f"{counts[0]} and {counts[1]} of them" in README


def test_each_exit_code_is_in_the_docs() -> None:
    table = CLI.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [row[0] for row in rows(table)[1:]] == [str(int(each)) for each in ExitCode]


def test_each_command_is_in_the_docs() -> None:
    names = re.findall(r"^    ([a-z]+)", build_parser().format_help(), re.MULTILINE)
    table = "".join(row[0] for row in rows(CLI.partition("\n## ")[0]))
    assert len(names) > 10
    assert [name for name in names if f"`{name}" not in table] == []


def test_the_stages_in_the_docs_are_those_of_the_code() -> None:
    source = (ROOT / "server/taskgate_server/pipeline/stages.py").read_text()
    listed = source.partition("= [")[2].partition("    ]")[0]
    # Two of them are arguments, which other places need, too.
    names = {"observation": "Observation", "reception": "Reception"}
    stages = [
        names.get(name, name) for name in re.findall(r"^        (\w+)[(,]", listed, re.MULTILINE)
    ]
    text = (ROOT / "docs/architecture.md").read_text()
    assert re.findall(r"^\d+\. `(\w+)`:", text, re.MULTILINE) == stages
