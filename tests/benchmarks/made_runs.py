"""Runs of a benchmark with given figures."""

from __future__ import annotations

from benchmarks.load import Load
from benchmarks.runs import Run


def make_run(
    rate: float,
    cpu_us: float = 100.0,
    p50_ms: float = 1.0,
    p99_ms: float = 2.0,
    aws_calls: float = 0.0,
) -> Run:
    load = Load(rate=rate, p50_ms=p50_ms, p99_ms=p99_ms, total=100, refused={}, lost=0)
    return Run(load=load, aws_calls=aws_calls, cpu_us=cpu_us)
