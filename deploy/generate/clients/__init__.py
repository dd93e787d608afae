"""Generate what the clients know about each AWS service: its names and its stubs.

`forms` has the names in the form that all languages share. The module of each language renders
them; parsing and formatting of names is written by hand in each client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.generate.clients import go, java, python, rust, typescript
from deploy.generate.clients.forms import Contract, read_contract
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

FOLDER = Path("clients")


def generate(root: Path) -> dict[Path, str]:
    """Return the content of all files by path."""
    files = render([spec for spec in SERVICES if not spec.contract])
    return {root / FOLDER / path: text for path, text in files.items()}


def render(specs: Iterable[ServiceSpec]) -> Mapping[str, str]:
    """Return the content of the files for some services, by their paths below `clients`.

    Raises:
        ValueError: there is no rule for a name.
    """
    contract: Contract = read_contract(specs)
    files: dict[str, str] = {}
    for language in (python, go, typescript, java, rust):
        files |= language.render(contract)
    return files
