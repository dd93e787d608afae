"""The memory that cancelled watches leave behind, beside that of the same stream in bare grpcio."""

from __future__ import annotations

import itertools
import logging
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from tests.support.guarded_process import ROOT

pytestmark = pytest.mark.alone  # memory is measured

LOG = logging.getLogger(__name__)
WATCHES: Final = 5_000
WARM_UP_WATCHES: Final = 2_000
SAMPLES: Final = 10
MAX_OWN_BYTES: Final = 250
"""For each cancelled watch, beyond what bare grpcio retains of a stream with as many messages. Some
120 are seen, all of them native memory: no Python object of the server is among them. grpcio itself
retains about 40 for each write that a cancellation interrupts. A stream that is kept has
kilobytes."""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator(clock=ManualClock()) as emulator:
        yield emulator


def retained_bytes(kind: str, endpoint_url: str, watches: int = WATCHES) -> float:
    """Return the slope of a server's resident memory, in bytes for each cancelled watch."""
    command = [sys.executable, "-m", "tests.tasks.watch.cancelled", kind, endpoint_url]
    command += map(str, (WARM_UP_WATCHES, watches, SAMPLES))
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    samples = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    # Theil and Sen's slope: one sample after the allocator has returned megabytes changes nothing.
    return statistics.median(
        (size - earlier_size) / (count - earlier)
        for (earlier, earlier_size), (count, size) in itertools.combinations(samples, 2)
    )


def test_a_cancelled_watch_retains_no_more_than_grpcio_does(aws: Emulator) -> None:
    bare, own = (retained_bytes(kind, aws.endpoint_url) for kind in ("bare", "taskgate"))
    LOG.info("bytes for each cancelled watch: %.0f; bare grpcio: %.0f", own, bare)
    assert own - max(bare, 0.0) < MAX_OWN_BYTES


def test_measurement_detects_a_leaked_watch(aws: Emulator) -> None:
    assert retained_bytes("leaking", aws.endpoint_url, WATCHES // 4) > 2 * MAX_OWN_BYTES
