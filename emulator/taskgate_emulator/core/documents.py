"""Reads what a user wrote for the emulator, in TOML, JSON or YAML; the name's ending says which."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["read_document", "reject_unknown_keys"]


def read_document(path: Path) -> dict[str, Any]:
    """What a file says.

    Raises:
        ValueError: it cannot be read, or is not a table of names; the message says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = _parse(path.suffix.lower(), text)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: it must be a table of names")  # noqa: TRY004 it is a user's file
    return document


def reject_unknown_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Hold a table to the names that it may have.

    Raises:
        ValueError: it has another.
    """
    names = sorted(known)
    for name in table:
        if name not in names:
            raise ValueError(f"{where}: there is no {name!r}; there are {', '.join(names)}")


def _parse(suffix: str, text: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text)
    if suffix in {".yaml", ".yml"}:
        import yaml  # noqa: PLC0415 most starts read no YAML

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    raise ValueError("its name must end in .toml, .json, .yaml or .yml")
