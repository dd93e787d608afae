"""`make model-update`: everything is moved in place, or nothing.

The steps are simulated here; `make update-test` runs them with real versions of botocore.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/model_update.py"

PROTO = "protos/taskgate/toy/v1/toy.proto"
OLD_PROTO = "protos/taskgate/old/v1/old.proto"
FILES = {
    "pyproject.toml": '"boto3>=1.2.3", "botocore>=1.2.3", "moto>=5"\n',
    "requirements.txt": "boto3==1.2.3 \\\n    --hash=a\n    # via x\n"
    "moto==5\nbotocore==1.2.3 \\\n    --hash=b\n",
    PROTO: "old\n",
    OLD_PROTO: "removed\n",
    "clients/service-config.json": "{}\n",
    "clients/go/gen/toy.pb.go": "old\n",
    "server/code.py": "unchanged\n",
}


def load() -> Any:
    spec = importlib.util.spec_from_file_location("model_update", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_update"] = module
    spec.loader.exec_module(module)
    return module


model_update = load()


class Steps:
    """Simulates the commands; the one with the number `fails_at` fails."""

    def __init__(self, fails_at: int = -1) -> None:
        self.commands: list[str] = []
        self.fails_at = fails_at

    def __call__(self, command: Sequence[str], tree: Path, _: Mapping[str, str]) -> str:
        self.commands.append(" ".join(command))
        if len(self.commands) - 1 == self.fails_at:
            (tree / "server/half-written.py").write_text("")
            raise subprocess.CalledProcessError(1, command)
        if command[0] == "git":
            return "\0".join([*FILES, "deleted.py", ""])
        if "--update" in command:
            (tree / PROTO).write_text("new\n")
            (tree / OLD_PROTO).unlink()
            (tree / "protos/taskgate/toy/v1/toy.lock.json").write_text("{}\n")
            (tree / "server/code.py").write_text("not an output\n")
        if command[-1] == "gen":
            (tree / "clients/go/gen/toy.pb.go").write_text("new\n")
        return "{new}\n" if "taskgate_client.service_config" in command else ""


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def _with_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_update.shutil, "which", lambda name: f"/usr/bin/{name}")


def test_outputs_are_moved_in_place(root: Path, tmp_path: Path) -> None:
    changed = model_update.update(root, tmp_path / "stage", "1.3.0", Steps())
    expected = {
        **FILES,
        "pyproject.toml": '"boto3>=1.3.0", "botocore>=1.3.0", "moto>=5"\n',
        PROTO: "new\n",
        "protos/taskgate/toy/v1/toy.lock.json": "{}\n",
        "clients/service-config.json": "{new}\n",
        "clients/go/gen/toy.pb.go": "new\n",
    }
    del expected[OLD_PROTO]
    assert contents(root) == expected
    assert set(changed) == {
        name for name in expected.keys() | FILES.keys() if expected.get(name) != FILES.get(name)
    }


def test_failed_step_changes_nothing(root: Path, tmp_path: Path) -> None:
    steps = Steps()
    model_update.update(root, tmp_path / "stage", "1.3.0", steps)
    assert any("buf breaking" in command for command in steps.commands)
    for number in range(1, len(steps.commands)):
        for name, text in FILES.items():
            (root / name).write_text(text)
        (root / "protos/taskgate/toy/v1/toy.lock.json").unlink(missing_ok=True)
        with pytest.raises(subprocess.CalledProcessError):
            model_update.update(root, tmp_path / f"stage-{number}", "1.3.0", Steps(number))
        assert contents(root) == FILES, steps.commands[number]


def test_failed_move_is_undone(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = model_update._replace

    def fail_at_the_proto(path: Path, staged: Path, *, is_present: bool) -> None:
        if path.name == "pyproject.toml":
            raise OSError("no space")
        replace(path, staged, is_present=is_present)

    monkeypatch.setattr(model_update, "_replace", fail_at_the_proto)
    with pytest.raises(OSError, match="no space"):
        model_update.update(root, tmp_path / "stage", "1.3.0", Steps())
    assert contents(root) == FILES


def test_only_the_sdk_is_installed_with_its_hashes() -> None:
    pins = model_update.pins_of(FILES["requirements.txt"], model_update.PACKAGES)
    assert pins.splitlines() == [
        "boto3==1.2.3 \\",
        "    --hash=a",
        "    # via x",
        "botocore==1.2.3 \\",
        "    --hash=b",
    ]


@pytest.mark.parametrize("arguments", [[], ["latest"], ["1.2;rm"], ["1.2", "1.3"]])
def test_version_is_required(arguments: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "usage: make model-update VERSION=" in done.stderr
