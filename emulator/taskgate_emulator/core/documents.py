"""Reads TOML, JSON and YAML files of users; the suffix of the name decides the format."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["read_document", "reject_unknown_keys"]


def read_document(path: Path) -> dict[str, Any]:
    """Read a file.

    Raises:
        ValueError: it cannot be read or is not a table; the message has the file's path.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = _parse(path.suffix.lower(), text)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be a table")  # noqa: TRY004 an invalid file, not a type error
    return document


def reject_unknown_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Check that a table has no unknown keys.

    Raises:
        ValueError: it has one.
    """
    names = sorted(known)
    for name in table:
        if name not in names:
            raise ValueError(f"{where}: unknown key {name!r}; use one of {', '.join(names)}")


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
    raise ValueError("the name must end in .toml, .json, .yaml or .yml")
