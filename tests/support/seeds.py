"""Seeds of everything random in the tests.

By default every seed is fixed, so that each run makes the same choices. The environment variable
`SEED` selects others (`make test-random` sets a fresh one), and `VOLUME` multiplies the number of
random cases of the differential, fuzz and watch tests.
"""

from __future__ import annotations

import os
from random import Random
from typing import Final

DEFAULT_SEED: Final = 0
SEED: Final = int(os.environ.get("SEED") or DEFAULT_SEED)
IS_RANDOM_RUN: Final = bool(os.environ.get("SEED"))
"""Whether this run was given a seed, so that property tests draw new examples."""

VOLUME: Final = int(os.environ.get("VOLUME") or 1)
VOLUME_VARIABLES: Final = (
    "ATTACKS",
    "ATTACK_REQUESTS",
    "FUZZ_REQUESTS",
    "ODD_RESPONSES",
    "OPENAPI_EXAMPLES",
    "OUTAGE_SECONDS",
)
IS_LARGE_VOLUME: Final = VOLUME > 1 or any(map(os.environ.get, VOLUME_VARIABLES))
"""Whether this run makes more of something than `make test` does, so that tests take longer."""


USUAL_SHARE: Final = 4


def examples(full: int) -> int:
    """Return how many examples a property test has, or another test with random cases.

    Args:
        full: with a given seed (`make test-random`, every night); by default a quarter of them.
    """
    return full if IS_RANDOM_RUN else -(-full // USUAL_SHARE)


def seeded(*parts: int | str) -> Random:
    """Return a generator that depends on `SEED` and on `parts`, the name of what needs it."""
    return Random("/".join(map(str, (SEED, *parts))))  # noqa: S311  # chooses test cases only


def varied(seed: int) -> int:
    """Return a seed that differs between runs with different `SEED`; `seed` itself by default."""
    return seed + SEED * 1_000_003


def replay_hint() -> str:
    """Return how to repeat this run's random choices."""
    if not IS_RANDOM_RUN:
        return f"SEED={SEED} (the default): every run makes the same random choices"
    volume = f" VOLUME={VOLUME}" if VOLUME > 1 else ""
    return f"SEED={SEED}; replay with: SEED={SEED}{volume} make test-random"
