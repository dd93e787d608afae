"""Every waiter of botocore for both services completes, on the emulator's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import FARM_ID, QUEUE_ID, WORKFLOW_ID
from tests.emulator.deadline_jobs import create, frames, template
from tests.support.omics_runs import zipped

ROLE = "arn:aws:iam::111122223333:role/any"
QUEUE = {"farmId": FARM_ID, "queueId": QUEUE_ID}
BUCKET = "northlight-jobs"
READS = f"s3://{BUCKET}/reads.fastq"
_STORE = "arn:aws:omics:us-west-2:111122223333:referenceStore/1234567890"
REFERENCE = {"referenceArn": f"{_STORE}/reference/1234567890"}
STORE_JOB = {"roleArn": ROLE}
WDL = "version 1.0\ntask one { command {} }\nworkflow main { call one }\n"

WAITERS = [
    pytest.param((service, name, waiter["operation"]), id=f"{service}-{name}")
    for service in ("deadline", "omics")
    for name, waiter in Loader().load_service_model(service, "waiters-2")["waiters"].items()
]


class Scene:
    """Makes what a waiter waits for; each method returns the params of the waiter."""

    def __init__(self, aws: Emulator, connect: Any, clock: ManualClock) -> None:
        self.aws, self.clock = aws, clock
        self.deadline, self.omics = connect(aws, "deadline"), connect(aws, "omics")
        connect(aws, "s3").put_object(Bucket=BUCKET, Key="reads.fastq", Body=b"@r\nACGT\n+\nIIII\n")

    def job(self) -> dict[str, str]:
        return create(self.deadline, QUEUE, template(**frames(2)))

    def fleet(self) -> dict[str, str]:
        (row,) = self.deadline.list_fleets(farmId=FARM_ID)["fleets"]
        return {"farmId": FARM_ID, "fleetId": row["fleetId"]}

    def endpoint(self) -> dict[str, str]:
        made = self.deadline.create_license_endpoint(
            vpcId="vpc-1", subnetIds=["subnet-1"], securityGroupIds=["sg-1"]
        )
        return {"licenseEndpointId": made["licenseEndpointId"]}

    def deleted_endpoint(self) -> dict[str, str]:
        ids = self.endpoint()
        self.deadline.delete_license_endpoint(**ids)
        return ids

    def stopping_fleet(self) -> dict[str, str]:
        self.job()
        ids = {**QUEUE, **self.fleet()}
        status = "STOP_SCHEDULING_AND_COMPLETE_TASKS"
        self.deadline.update_queue_fleet_association(**ids, status=status)
        return ids

    def stopping_limit(self) -> dict[str, str]:
        limit = self.deadline.create_limit(
            farmId=FARM_ID, displayName="L", amountRequirementName="amount.x", maxCount=1
        )
        ids = {**QUEUE, "limitId": limit["limitId"]}
        self.deadline.create_queue_limit_association(**ids)
        status = "STOP_LIMIT_USAGE_AND_CANCEL_TASKS"
        self.deadline.update_queue_limit_association(**ids, status=status)
        return ids

    def scheduling_queue(self) -> dict[str, str]:
        self.job()
        return QUEUE

    def blocked_queue(self) -> dict[str, str]:
        action = "STOP_SCHEDULING_AND_CANCEL_TASKS"
        self.deadline.update_queue(**QUEUE, defaultBudgetAction=action)
        return QUEUE

    def run(self) -> dict[str, str]:
        started = self.omics.start_run(
            workflowId=WORKFLOW_ID,
            roleArn=ROLE,
            outputUri=f"s3://{BUCKET}/out",
            parameters={"sample": "S", "reads": [READS, READS]},
        )
        return {"id": started["id"]}

    def task(self) -> dict[str, str]:
        run = self.run()
        self.clock.advance(60)
        rows = self.omics.list_run_tasks(**run)["items"]
        return {**run, "taskId": rows[0]["taskId"]}

    def workflow(self) -> dict[str, str]:
        return {"id": self.omics.create_workflow(definitionZip=zipped(main_wdl=WDL))["id"]}

    def version(self) -> dict[str, str]:
        ids = {"workflowId": self.workflow()["id"], "versionName": "two"}
        self.omics.create_workflow_version(**ids, definitionZip=zipped(main_wdl=WDL))
        return ids

    def annotation_store(self) -> dict[str, str]:
        self.omics.create_annotation_store(
            name="annotations", storeFormat="VCF", reference=REFERENCE
        )
        return {"name": "annotations"}

    def variant_store(self) -> dict[str, str]:
        self.omics.create_variant_store(name="variants", reference=REFERENCE)
        return {"name": "variants"}

    def annotation_version(self) -> dict[str, str]:
        ids = {**self.annotation_store(), "versionName": "two"}
        self.omics.create_annotation_store_version(**ids)
        return ids

    def deleted(self, kind: str) -> dict[str, str]:
        ids = getattr(self, kind)()
        if kind == "annotation_version":
            self.omics.delete_annotation_store_versions(name=ids["name"], versions=["two"])
        else:
            getattr(self.omics, f"delete_{kind}")(**ids)
        return dict(ids)

    def import_rows(self, kind: str) -> dict[str, str]:
        store = getattr(self, f"{kind}_store")()["name"]
        start = getattr(self.omics, f"start_{kind}_import_job")
        job = start(destinationName=store, items=[{"source": READS}], **STORE_JOB)
        return {"jobId": job["jobId"]}

    def import_read_set(self) -> dict[str, str]:
        store = self.omics.create_sequence_store(name="store")["id"]
        source = {"sourceFiles": {"source1": READS}, "sourceFileType": "FASTQ"}
        sources = [{**source, "subjectId": "one", "sampleId": "two"}]
        job = self.omics.start_read_set_import_job(
            sequenceStoreId=store, sources=sources, **STORE_JOB
        )
        return {"sequenceStoreId": store, "id": job["id"]}

    def read_set(self) -> dict[str, str]:
        store = self.import_read_set()["sequenceStoreId"]
        self.clock.advance(30)
        (row,) = self.omics.list_read_sets(sequenceStoreId=store)["readSets"]
        return {"sequenceStoreId": store, "readSetId": row["id"]}

    def export_read_set(self) -> dict[str, str]:
        ids = self.read_set()
        job = self.omics.start_read_set_export_job(
            sequenceStoreId=ids["sequenceStoreId"],
            destination=f"s3://{BUCKET}/exports/",
            sources=[{"readSetId": ids["readSetId"]}],
            **STORE_JOB,
        )
        return {"sequenceStoreId": ids["sequenceStoreId"], "id": job["id"]}

    def activate_read_set(self) -> dict[str, str]:
        ids = self.read_set()
        job = self.omics.start_read_set_activation_job(
            sequenceStoreId=ids["sequenceStoreId"], sources=[{"readSetId": ids["readSetId"]}]
        )
        return {"sequenceStoreId": ids["sequenceStoreId"], "id": job["id"]}

    def import_reference(self) -> dict[str, str]:
        stores = self.omics.list_reference_stores()["referenceStores"]
        store = stores[0]["id"] if stores else self.omics.create_reference_store(name="s")["id"]
        job = self.omics.start_reference_import_job(
            referenceStoreId=store, sources=[{"sourceFile": READS, "name": "grch38"}], **STORE_JOB
        )
        return {"referenceStoreId": store, "id": job["id"]}


SCENES: Mapping[str, Callable[[Scene], Mapping[str, str]]] = {
    "FleetActive": Scene.fleet,
    "JobComplete": Scene.job,
    "JobCreateComplete": Scene.job,
    "JobSucceeded": Scene.job,
    "LicenseEndpointDeleted": Scene.deleted_endpoint,
    "LicenseEndpointValid": Scene.endpoint,
    "QueueFleetAssociationStopped": Scene.stopping_fleet,
    "QueueLimitAssociationStopped": Scene.stopping_limit,
    "QueueScheduling": Scene.scheduling_queue,
    "QueueSchedulingBlocked": Scene.blocked_queue,
    "AnnotationImportJobCreated": lambda scene: scene.import_rows("annotation"),
    "AnnotationStoreCreated": Scene.annotation_store,
    "AnnotationStoreDeleted": lambda scene: scene.deleted("annotation_store"),
    "AnnotationStoreVersionCreated": Scene.annotation_version,
    "AnnotationStoreVersionDeleted": lambda scene: scene.deleted("annotation_version"),
    "ReadSetActivationJobCompleted": Scene.activate_read_set,
    "ReadSetExportJobCompleted": Scene.export_read_set,
    "ReadSetImportJobCompleted": Scene.import_read_set,
    "ReferenceImportJobCompleted": Scene.import_reference,
    "RunCompleted": Scene.run,
    "RunRunning": Scene.run,
    "TaskCompleted": Scene.task,
    "TaskRunning": Scene.task,
    "VariantImportJobCreated": lambda scene: scene.import_rows("variant"),
    "VariantStoreCreated": Scene.variant_store,
    "VariantStoreDeleted": lambda scene: scene.deleted("variant_store"),
    "WorkflowActive": Scene.workflow,
    "WorkflowVersionActive": Scene.version,
}


@pytest.mark.parametrize("waiter", WAITERS)
def test_waiter_completes(
    aws: Emulator,
    connect: Any,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    waiter: tuple[str, str, str],
) -> None:
    service, name, operation = waiter
    monkeypatch.setattr("botocore.waiter.time.sleep", lambda seconds: advance(clock, seconds))
    scene = Scene(aws, connect, clock)
    params = SCENES[name](scene)
    getattr(scene, service).get_waiter(xform_name(name)).wait(**params)
    assert aws.requests[-1].operation == operation


def advance(clock: ManualClock, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.advance(1)


def test_read_set_is_imported_read_and_exported(
    aws: Emulator, connect: Any, clock: ManualClock
) -> None:
    scene, s3 = Scene(aws, connect, clock), connect(aws, "s3")
    job = scene.export_read_set()
    clock.advance(30)
    done = scene.omics.get_read_set_export_job(**job)
    (row,) = done["readSets"]
    assert (done["status"], row["status"]) == ("COMPLETED", "FINISHED")
    ids = {"sequenceStoreId": job["sequenceStoreId"], "id": row["id"]}
    content = scene.omics.get_read_set(**ids, partNumber=1)["payload"].read()
    exported = s3.get_object(Bucket=BUCKET, Key=f"exports/{row['id']}/reads.fastq")["Body"].read()
    assert content == exported == b"@r\nACGT\n+\nIIII\n"
    metadata = scene.omics.get_read_set_metadata(**ids)
    assert metadata["files"]["source1"]["contentLength"] == len(content)
    later = {"createdAfter": clock() + timedelta(days=1)}
    store = {"sequenceStoreId": job["sequenceStoreId"]}
    assert scene.omics.list_read_sets(**store, filter=later)["readSets"] == []
    assert scene.omics.batch_delete_read_set(**store, ids=[row["id"]]).get("errors", []) == []
    assert scene.omics.list_read_sets(**store)["readSets"] == []


def test_import_of_a_missing_object_fails(aws: Emulator, connect: Any, clock: ManualClock) -> None:
    scene = Scene(aws, connect, clock)
    store = scene.omics.create_sequence_store(name="store")["id"]
    source = {"sourceFileType": "FASTQ", "subjectId": "one", "sampleId": "two"}
    sources = [
        {**source, "sourceFiles": {"source1": uri}} for uri in (READS, f"s3://{BUCKET}/missing")
    ]
    job = scene.omics.start_read_set_import_job(sequenceStoreId=store, sources=sources, **STORE_JOB)
    clock.advance(30)
    got = scene.omics.get_read_set_import_job(sequenceStoreId=store, id=job["id"])
    assert got["status"] == "COMPLETED_WITH_FAILURES"
    assert [each["status"] for each in got["sources"]] == ["FINISHED", "FAILED"]


def test_definition_is_read_from_s3(aws: Emulator, connect: Any, clock: ManualClock) -> None:
    scene = Scene(aws, connect, clock)
    connect(aws, "s3").put_object(Bucket=BUCKET, Key="flow.zip", Body=zipped(main_wdl=WDL))
    made = scene.omics.create_workflow(definitionUri=f"s3://{BUCKET}/flow.zip")
    clock.advance(5)
    got = scene.omics.get_workflow(id=made["id"])
    assert (got["status"], got["main"]) == ("ACTIVE", "main.wdl")
    with pytest.raises(scene.omics.exceptions.ValidationException, match="no object"):
        scene.omics.create_workflow(definitionUri=f"s3://{BUCKET}/missing.zip")
