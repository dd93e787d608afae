"""Write the server's settings into the chart's schema, so that Helm rejects invalid ones.

Settings that the chart sets itself are not included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from taskgate_server.config import Settings
from taskgate_server.services.registry import SERVICES

SCHEMA = Path("deploy/helm/taskgate/values.schema.json")

SET_BY_CHART = frozenset(
    {
        "listen_host",
        "listen_port",
        "health_host",
        "health_port",
        "http_host",
        "http_port",
        "console_enabled",
        "admin_host",
        "admin_port",
        "tls_certificate_file",
        "tls_key_file",
        "tls_client_ca_file",
        "policy_files",
    }
)
"""Ports, addresses and files of a pod, see templates/_settings.tpl."""

REQUIRED = ("drain_grace_seconds", "drain_seconds")
"""Settings that the chart computes with."""


def generate(root: Path) -> dict[Path, str]:
    """Return the chart's schema with the current settings, by path."""
    path = root / SCHEMA
    schema = json.loads(path.read_text())
    settings = _plain(Settings.model_json_schema())
    definitions = settings.pop("$defs")
    for name in SET_BY_CHART:
        del settings["properties"][name]
    for name in REQUIRED:
        settings["properties"][name] = _without_null(settings["properties"][name])
    settings["required"] = list(REQUIRED)
    # This schema does not know plug-ins: with `services`, any name is valid; the server checks it.
    known = [spec.name for spec in SERVICES if not spec.contract]
    tables = {"properties": {"aws": {"propertyNames": {"enum": known}}}}
    targets = {"targets": {"additionalProperties": tables}}
    settings["if"] = {"not": {"required": ["services"]}}
    settings["then"] = {"properties": tables["properties"] | targets}
    schema["$defs"] = {"Settings": settings, **definitions}
    return {path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}


def _plain(schema: Any) -> Any:
    """Return the schema without titles, which repeat names, and defaults, which the server has."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    properties = schema.get("properties")
    kept = {
        key: _plain(value)
        for key, value in schema.items()
        if key not in ("title", "default", "properties")
    }
    if isinstance(properties, dict):
        kept["properties"] = {name: _plain(value) for name, value in properties.items()}
    return kept


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null in `anyOf`."""
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind.get("type") != "null"]
    return schema | (kinds[0] if kinds else {})
