"""A small scene that takes seconds to simulate."""

from __future__ import annotations

from benchmarks.simulation.fleet import Scene
from benchmarks.simulation.routing import ROBIN

SCENE = Scene(
    service="omics",
    replicas=3,
    routing=ROBIN,
    parents=9,
    watchers=60,
    readers=400,
    ramp=10.0,
    warm_up=20.0,
    seconds=30.0,
)
