"""The workflow of the demo and its run cache."""

from __future__ import annotations

import zipfile
from datetime import timedelta
from hashlib import sha256
from io import BytesIO

from taskgate_emulator.core.state import Account
from taskgate_emulator.omics.cache import RUN_CACHE
from taskgate_emulator.omics.workflows import WORKFLOW, store_definition
from taskgate_emulator.seeds import ids

__all__ = ["CACHE_ID", "CACHE_URI", "WORKFLOW_NAME", "seed_workflow"]

WORKFLOW_NAME = "germline-deepvariant"
CACHE_ID = "2718281"
CACHE_URI = "s3://northlight-genomics/cache"

_DEFINITION = """\
version 1.1

task BwaMem2 {
  input {
    File reads
    Int threads = 16
  }
  command <<< bwa-mem2 mem -t ~{threads} ref.fa ~{reads} > aligned.bam >>>
  output { File bam = "aligned.bam" }
  runtime {
    container: "quay.io/biocontainers/bwa-mem2:2.2.1"
    cpu: threads
    memory: "~{threads * 8} GiB"
  }
}

task DeepVariant {
  input {
    Array[File] bams
    String sample
  }
  command <<< run_deepvariant --reads ~{sep(",", bams)} --sample_name ~{sample} >>>
  output { File vcf = "~{sample}.vcf.gz" }
  runtime {
    container: "quay.io/biocontainers/deepvariant:1.6.1"
    cpu: 16
    memory: "64 GiB"
    acceleratorType: "nvidia-tesla-a10g"
    acceleratorCount: 1
  }
}

task MultiQC {
  input { File vcf }
  command <<< multiqc . >>>
  output { File report = "multiqc_report.html" }
  runtime {
    container: "quay.io/biocontainers/multiqc:1.25"
    cpu: 4
    memory: "16 GiB"
  }
}

workflow Germline {
  input {
    String sample
    Array[File] reads
    Int? coverage
  }
  scatter (each in reads) {
    call BwaMem2 { input: reads = each }
  }
  call DeepVariant { input: bams = BwaMem2.bam, sample = sample }
  call MultiQC { input: vcf = DeepVariant.vcf }
  output { File report = MultiQC.report }
}
"""


def seed_workflow(account: Account) -> None:
    """Load the workflow and the cache into an account."""
    content = _zipped(_DEFINITION)
    created = account.clock() - timedelta(days=30)
    arn = account.arn("omics", "").removesuffix(":")
    store_definition(account, (ids.WORKFLOW_ID,), content, engine="WDL", main="main.wdl")
    account.put(
        WORKFLOW,
        (ids.WORKFLOW_ID,),
        {
            "arn": f"{arn}:workflow/{ids.WORKFLOW_ID}",
            "id": ids.WORKFLOW_ID,
            "uuid": "5c1f0b6e-9d3a-4e27-8f54-2ab6d01c7e93",
            "name": WORKFLOW_NAME,
            "status": "ACTIVE",
            "type": "PRIVATE",
            "engine": "WDL",
            "main": "main.wdl",
            "digest": f"sha256:{sha256(content).hexdigest()[:57]}",
            "parameterTemplate": {
                "sample": {"description": "Name of the sample", "optional": False},
                "reads": {"description": "FASTQ or uBAM files", "optional": False},
                "coverage": {"description": "Expected depth", "optional": True},
            },
            "accelerators": "GPU",
            "storageType": "DYNAMIC",
            "creationTime": created,
            "tags": {"study": "platinum"},
            "_templateGiven": True,
        },
    )
    account.put(
        RUN_CACHE,
        (CACHE_ID,),
        {
            "arn": f"{arn}:runCache/{CACHE_ID}",
            "id": CACHE_ID,
            "name": "germline",
            "status": "ACTIVE",
            "cacheBehavior": "CACHE_ALWAYS",
            "cacheS3Uri": CACHE_URI,
            "creationTime": created,
            "tags": {},
        },
    )


def _zipped(text: str) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        # The entry has a fixed time, so that every start makes the same zip.
        archive.writestr(zipfile.ZipInfo("main.wdl"), text)
    return stream.getvalue()
