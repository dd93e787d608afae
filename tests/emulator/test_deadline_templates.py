"""Job and environment templates: every extension, queue environments, and invalid documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.deadline_jobs import SCRIPT, create, steps_of, template
from tests.emulator.template_documents import DEEP, DOCUMENTS, ENVIRONMENT, OPTIONAL, TYPED

ADAPTIVE = {
    "parameterSpace": {
        "taskParameterDefinitions": [
            {
                "name": "Frames",
                "type": "CHUNK[INT]",
                "range": "1-25",
                "chunks": {
                    "defaultTaskCount": 10,
                    "targetRuntimeSeconds": 60,
                    "rangeConstraint": "NONCONTIGUOUS",
                },
            }
        ]
    }
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "Title": {"string": "shot"},
    "Flag": {"bool": "true"},
    "Range": {"rangeExpr": "1-3"},
    "Texts": {"stringList": ["a", "b"]},
    "Paths": {"pathList": ["/a"]},
    "Ints": {"intList": ["1", "2"]},
    "Floats": {"floatList": ["1.5"]},
    "Bools": {"boolList": ["true"]},
    "Nested": {"intListList": [["1", "2"], ["3"]]},
}
REQUIRED = ENVIRONMENT % ("", "STRING")
FRAMES = json.dumps(
    {
        "specificationVersion": "jobtemplate-2023-09",
        "name": "J",
        "parameterDefinitions": [{"name": "Frames", "type": "STRING", "default": "1-3"}],
        "steps": [{"name": "One", "script": SCRIPT}],
    }
)


def add_environment(
    deadline: Any, queue: dict[str, str], text: str, kind: str = "YAML", priority: int = 1
) -> dict[str, str]:
    made = deadline.create_queue_environment(
        **queue, priority=priority, templateType=kind, template=text
    )
    return {**queue, "queueEnvironmentId": made["queueEnvironmentId"]}


def rejection_of(call: Any, *arguments: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **params)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException", error
    return error["Message"]


def test_step_with_adaptive_chunks_has_tasks_of_the_default_size(
    deadline: Any, queue: dict[str, str]
) -> None:
    job = create(deadline, queue, template(extensions=["TASK_CHUNKING"], **ADAPTIVE))
    step = steps_of(deadline, job)["One"]
    tasks = deadline.list_tasks(**step)["tasks"]
    frames = [task["parameters"]["Frames"]["chunkInt"] for task in tasks]
    assert frames == ["1-9", "10-17", "18-25"]
    (space,) = deadline.get_step(**step)["parameterSpace"]["parameters"]
    assert space["chunks"] == {
        "defaultTaskCount": 10,
        "targetRuntimeSeconds": 60,
        "rangeConstraint": "NONCONTIGUOUS",
    }


def test_range_of_a_chunked_parameter_is_limited(deadline: Any, queue: dict[str, str]) -> None:
    huge = json.loads(json.dumps(ADAPTIVE).replace("1-25", "1-99999999999"))
    text = template(extensions=["TASK_CHUNKING"], **huge)
    assert "the range has more than" in rejection_of(create, deadline, queue, text)


def test_parameters_keep_the_types_of_expressions(deadline: Any, queue: dict[str, str]) -> None:
    job = create(deadline, queue, TYPED, templateType="YAML")
    got = deadline.get_job(**job)
    assert (got["name"], got["parameters"]) == ("SHOT", DEFAULTS)
    assert deadline.get_job(**job)["taskRunStatusCounts"]["PENDING"] == 3

    given = {
        "Flag": {"bool": "off"},
        "Range": {"rangeExpr": "1-9:2"},
        "Texts": {"stringList": ["x"]},
        "Ints": {"intList": ["-7"]},
        "Floats": {"floatList": ["2.25"]},
        "Bools": {"boolList": ["yes", "0"]},
        "Nested": {"intListList": [["4"], []]},
    }
    job = create(deadline, queue, TYPED, templateType="YAML", parameters=given)
    expected = {**given, "Flag": {"bool": "false"}, "Bools": {"boolList": ["true", "false"]}}
    assert deadline.get_job(**job)["parameters"] == {**DEFAULTS, **expected}
    assert deadline.get_job(**job)["taskRunStatusCounts"]["PENDING"] == 5


@pytest.mark.parametrize("extension", ["WRAP_ACTIONS", "REDACTED_ENV_VARS", "FEATURE_BUNDLE_1"])
def test_extension_is_accepted(deadline: Any, queue: dict[str, str], extension: str) -> None:
    assert create(deadline, queue, template(extensions=[extension]))


@pytest.mark.parametrize(
    ("definition", "given"),
    [
        ({"type": "STRING"}, {"stringList": ["a"]}),
        ({"type": "INT"}, {"intList": ["1"]}),
        ({"type": "INT"}, {"string": "9223372036854775808"}),
        ({"type": "INT", "default": 2**63}, None),
        ({"type": "FLOAT"}, {"string": "1e309"}),
    ],
)
def test_value_that_the_type_does_not_allow_is_rejected(
    deadline: Any, queue: dict[str, str], definition: Any, given: Any
) -> None:
    document = json.loads(template())
    document["parameterDefinitions"] = [{"name": "P", **definition}]
    parameters = {"P": given} if given else {}
    text = json.dumps(document)
    assert "P" in rejection_of(create, deadline, queue, text, parameters=parameters)


def test_queue_environment_defines_parameters(deadline: Any, queue: dict[str, str]) -> None:
    given = {"CondaPackages": {"string": "maya"}}
    assert "CondaPackages" in rejection_of(create, deadline, queue, FRAMES, parameters=given)
    environment = add_environment(deadline, queue, REQUIRED)
    assert "CondaPackages" in rejection_of(create, deadline, queue, FRAMES)
    job = create(deadline, queue, FRAMES, parameters=given)
    # The default of the job's own template comes last.
    assert deadline.get_job(**job)["parameters"] == {**given, "Frames": {"string": "1-3"}}

    deadline.update_queue_environment(**environment, template=OPTIONAL, templateType="YAML")
    job = create(deadline, queue, FRAMES)
    assert deadline.get_job(**job)["parameters"]["CondaPackages"] == {"string": ""}


def test_conflicting_definitions_are_rejected(deadline: Any, queue: dict[str, str]) -> None:
    add_environment(deadline, queue, ENVIRONMENT % (', default: ""', "INT"))
    message = rejection_of(create, deadline, queue, FRAMES)
    assert "The definitions for job parameter 'Frames' are in conflict" in message


def test_environments_apply_in_the_order_of_their_priority(
    deadline: Any, queue: dict[str, str]
) -> None:
    for priority, value in ((2, "inner"), (1, "outer"), (2, "innermost")):
        text = ENVIRONMENT % (f", default: {value}", "STRING")
        add_environment(deadline, queue, text, priority=priority)
    job = create(deadline, queue, FRAMES)
    assert deadline.get_job(**job)["parameters"]["CondaPackages"] == {"string": "innermost"}


def test_name_of_an_environment_follows_its_template(deadline: Any, queue: dict[str, str]) -> None:
    environment = add_environment(deadline, queue, OPTIONAL)
    renamed = OPTIONAL.replace("name: Conda\n", "name: Rez\n")
    deadline.update_queue_environment(**environment, template=renamed, templateType="YAML")
    assert deadline.get_queue_environment(**environment)["name"] == "Rez"
    assert rejection_of(
        deadline.update_queue_environment, **environment, template="nonsense", templateType="YAML"
    )
    assert deadline.get_queue_environment(**environment)["name"] == "Rez"


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_unreadable_template_is_rejected(
    deadline: Any, queue: dict[str, str], document: tuple[str, str]
) -> None:
    text, kind = document
    for start in ("", "specificationVersion: jobtemplate-2023-09\n"):
        if start and kind == "JSON":
            continue
        assert rejection_of(create, deadline, queue, start + text, templateType=kind)
        assert rejection_of(add_environment, deadline, queue, start + text, kind)


def test_error_of_a_document_names_line_and_cause(deadline: Any, queue: dict[str, str]) -> None:
    yaml = rejection_of(create, deadline, queue, "a: 1\nb:\n\t- c", templateType="YAML")
    assert "line 3, column 1: found character that cannot start any token" in yaml
    text = '{"a":\n 1,}'
    message = rejection_of(create, deadline, queue, text)
    assert "line 2, column 4: Expecting property name enclosed in double quotes" in message
    assert "nested too deeply" in rejection_of(create, deadline, queue, DEEP["JSON"])


def test_environment_without_script_is_rejected(deadline: Any, queue: dict[str, str]) -> None:
    text = "specificationVersion: environment-2023-09\nenvironment: {name: X}\n"
    assert "environment" in rejection_of(add_environment, deadline, queue, text)


def test_body_of_four_megabytes_is_accepted(deadline: Any, queue: dict[str, str]) -> None:
    # In JSON, each of these characters has six bytes.
    text = template(description="d" * 2_000)
    padded = text + "\n" * (1_000_000 - len(text))
    assert create(deadline, queue, padded, descriptionOverride="ß" * 2_048)
