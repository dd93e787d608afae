"""The tests make the same random choices in each run, unless `SEED` selects others."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from tests.support import random_choices
from tests.support.seeds import IS_RANDOM_RUN

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py"))
)
TEST_MODULES: Final = [path for path in MODULES if path.parts[0] == "tests"]

CLASSES: Final = {"Random"}
"""Members of the module `random` that may be used: they take a seed."""

OPERATING_SYSTEM: Final = {
    "os.urandom",
    "os.getrandom",
    "uuid.uuid1",
    "uuid.uuid4",
    "random.SystemRandom",
}
RESERVED: Final = {"derandomize", "database"}
"""Settings of hypothesis that belong to the profile in tests/support/random_choices.py."""


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Return what each imported local name stands for, such as `choice` for `random.choice`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


def qualified(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name of what a name or attribute refers to, or ''."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        owner = qualified(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def fault_of(node: ast.expr, names: dict[str, str]) -> str:
    """Return what is wrong with a use of a name, or ''."""
    name = qualified(node, names)
    module, _, member = name.rpartition(".")
    if name in OPERATING_SYSTEM or module == "secrets":
        return f"{name} cannot be seeded; use tests.support.seeds.seeded"
    if module == "random" and member not in CLASSES:
        return f"{name} uses the shared generator; use tests.support.seeds.seeded"
    if name.startswith("hypothesis.") and member in {"register_profile", "load_profile", "seed"}:
        return f"{member} belongs into tests/support/random_choices.py"
    return ""


def fault_of_call(node: ast.Call, names: dict[str, str]) -> str:
    """Return what is wrong with a call's arguments, or ''."""
    name = qualified(node.func, names)
    if name in {"random.Random", "numpy.random.default_rng"} and not node.args:
        return f"{name}() without a seed"
    keywords = {keyword.arg or "" for keyword in node.keywords}
    if name in {"hypothesis.settings", "hypothesis.settings.register_profile"}:
        return ", ".join(f"{each}= overrides the profile" for each in sorted(keywords & RESERVED))
    if "use_true_random" in keywords:
        return "use_true_random= cannot be seeded"
    return ""


def faults(source: str) -> Iterator[str]:
    """Yield each use of randomness that no seed determines, with its line."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found = fault_of_call(node, names)
        elif isinstance(node, ast.Name | ast.Attribute):
            found = fault_of(node, names)
        else:
            continue
        if found:
            yield f"{node.lineno}: {found}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_all_randomness_has_a_seed(path: Path) -> None:
    if path == Path("tests/support/random_choices.py"):  # registers the profile
        return
    assert list(faults((ROOT / path).read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "from random import Random\nRandom()",
        "import random\nrandom.Random()",
        "import random as r\nr.choice([1])",
        "from random import shuffle\nshuffle([])",
        "import secrets\nsecrets.token_hex()",
        "from secrets import token_bytes as t\nt(3)",
        "import os\nos.urandom(3)",
        "import uuid\nf(uuid.uuid4)",
        "from random import SystemRandom\nSystemRandom(1)",
        "from hypothesis import settings\nsettings(derandomize=False)",
        "import hypothesis\nhypothesis.settings(max_examples=3, database=None)",
        "from hypothesis import settings\nsettings.load_profile('x')",
        "from hypothesis import seed\n@seed(3)\ndef f(): ...",
        "from hypothesis import strategies as st\nst.randoms(use_true_random=True)",
    ],
)
def test_the_scan_finds_what_no_seed_determines(source: str) -> None:
    assert len(list(faults(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from random import Random\nRandom(1).choice([1])",
        "import random\ndef f(r: random.Random): r.random()",
        "def f(random): random.random()",
        "from hypothesis import settings\nsettings(max_examples=3)",
    ],
)
def test_the_scan_accepts_seeded_generators(source: str) -> None:
    assert list(faults(source)) == []


def test_hypothesis_is_derandomized_without_a_seed() -> None:
    assert settings.default is not None
    assert settings.default.derandomize is not IS_RANDOM_RUN
    assert settings.default.database is None


def test_all_tests_have_the_hooks(pytestconfig: pytest.Config) -> None:
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    hooks = [name for name in vars(random_choices) if name.startswith("pytest_")]
    assert len(hooks) == 3
    for name in hooks:
        assert getattr(conftest, name) is getattr(random_choices, name)


FAILING = """
from hypothesis import given, strategies as st
from tests.support.seeds import seeded

def test_it():
    drawn = []
    @given(st.integers())
    def draw(number):
        drawn.append(number)
    draw()
    assert 0, f"drew {hash(tuple(drawn))} {seeded('x').random()}"
"""


def run(folder: Path, seed: str) -> tuple[str, str]:
    """Return the random choices of a failing test, and the whole output."""
    test = folder / "test_it.py"
    test.write_text(FAILING)
    environment = {**os.environ, "SEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.random_choices",
        "test_it.py",
    ]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    [drawn] = {
        line.partition("drew ")[2]
        for line in done.stdout.splitlines()
        if line.startswith("E ") and "drew" in line
    }
    return drawn, done.stdout


def test_a_failure_reports_the_seed_that_repeats_it(tmp_path: Path) -> None:
    first, output = run(tmp_path, "7")
    assert "SEED=7 make test-random" in output
    assert run(tmp_path, "7")[0] == first
    assert run(tmp_path, "8")[0] != first
