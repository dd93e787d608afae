"""The generated names and stubs of the clients, also of services that Taskgate does not have."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.generate import clients
from deploy.generate.clients import forms
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks import backend

ROOT = Path(__file__).parents[3]
OWN = [spec for spec in SERVICES if not spec.contract]

_QUEUE = "batch/queues/{jobQueue}"
BATCH = ServiceSpec(
    name="batch",
    title="AWS Batch",
    grpc_service="BatchService",
    task_names=(
        f"{_QUEUE}/jobs/{{jobId}}",
        f"{_QUEUE}/jobs/{{arrayJobId}}/childJobs/{{index}}",
    ),
    parent_names={"queues": _QUEUE, "jobs": f"{_QUEUE}/jobs/{{arrayJobId}}"},
)


@pytest.fixture(autouse=True)
def batch_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    load = backend.load_backend
    batch = SimpleNamespace(root_kind="jobs")
    monkeypatch.setattr(forms, "load_backend", lambda spec: batch if spec is BATCH else load(spec))


def test_the_files_are_up_to_date() -> None:
    for path, text in clients.generate(ROOT).items():
        assert path.read_text() == text, path


def test_a_service_may_have_several_forms_and_tasks_that_contain_tasks() -> None:
    contract = forms.read_contract([BATCH])
    assert [each.form for each in contract.names] == [
        "batch/queues/{queue}",
        "batch/queues/{queue}/jobs/{job}",
        "batch/queues/{queue}/jobs/{job}/childJobs/{childJob}",
    ]
    assert [each.type_name for each in contract.tasks] == ["BatchJob", "BatchChildJob"]
    assert [each.type_name for each in contract.parents] == ["BatchQueue", "BatchJob"]
    assert contract.roots == ["batch/queues/{queue}/jobs/{job}"]


def rendered() -> Mapping[str, str]:
    return clients.render([*OWN, BATCH])


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("go/names.go", ("type BatchChildJobName struct{ Queue, Job, ChildJob string }",)),
        ("go/services.go", ("Batch batchv1.BatchServiceClient", "batchv1.NewBatchServiceClient")),
        (
            "typescript/src/aws_services.ts",
            ("readonly batch: ServiceClient<typeof BatchService>;",),
        ),
        ("rust/src/names.rs", ("BatchChildJob { queue, job, child_job } = ",)),
        ("rust/src/aws_services.rs", ("pub fn batch(&self) -> BatchServiceClient<Transport>",)),
        (
            "java/src/main/java/io/taskgate/client/Name.java",
            ("record BatchChildJob(String queue, String job, String childJob) implements Name {",),
        ),
        (
            "java/src/main/java/io/taskgate/client/AwsServices.java",
            ("default BatchServiceBlockingStub batch() {",),
        ),
    ],
)
def test_another_service_is_in_each_client(path: str, parts: tuple[str, ...]) -> None:
    text = rendered()[path]
    for part in parts:
        assert part in text


def test_the_names_of_another_service_work_in_python() -> None:
    source = rendered()["python/taskgate_client/names.py"]
    namespace: dict[str, object] = {"__name__": "taskgate_client.names"}
    exec(compile(ast.parse(source), "names.py", "exec"), namespace)  # noqa: S102  # generated above
    parse_task, parse_parent = namespace["parse_task_name"], namespace["parse_parent_name"]
    assert callable(parse_task)
    assert callable(parse_parent)
    child = parse_task("batch/queues/q/jobs/j/childJobs/3")
    assert child.child_job == "3"
    assert str(child.job_name) == "batch/queues/q/jobs/j"
    assert child.job_name == parse_task("batch/queues/q/jobs/j")
    assert child.job_name.queue_name == parse_parent("batch/queues/q")


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("batch/jobs", "not a sequence"),
        ("batch/{job}/jobs", "not a sequence"),
        ("batch/jobs/{a}/jobs/{b}", "same type or id"),
    ],
)
def test_forms_without_a_rule_are_rejected(form: str, reason: str) -> None:
    spec = ServiceSpec(
        name="batch",
        title="AWS Batch",
        task_names=(form,),
        parent_names={"jobs": "batch/queues/{queue}"},
    )
    with pytest.raises(ValueError, match=reason):
        forms.read_contract([spec])


@pytest.mark.parametrize(
    ("collection", "one"),
    [("tasks", "task"), ("childJobs", "childJob"), ("policies", "policy"), ("batches", "batch")],
)
def test_what_a_collection_contains(collection: str, one: str) -> None:
    assert forms.singular(collection) == one
