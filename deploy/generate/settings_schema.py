"""The server's settings in the chart's schema, so that Helm refuses what the server would.

From the `Settings` that the server reads, without what the chart sets itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from taskgate_server.config import Settings
from taskgate_server.services.registry import SERVICES

SCHEMA = Path("deploy/helm/taskgate/values.schema.json")

THE_CHARTS_OWN = frozenset(
    {
        "listen_host",
        "listen_port",
        "health_host",
        "health_port",
        "admin_host",
        "admin_port",
        "tls_certificate_file",
        "tls_key_file",
        "tls_client_ca_file",
        "policy_files",
    }
)
"""Ports, addresses and files of a pod: templates/_settings.tpl."""

REQUIRED = ("drain_grace_seconds", "drain_seconds")
"""What the chart computes with."""


def generate(root: Path) -> dict[Path, str]:
    """The chart's schema, with the definitions of settings anew."""
    path = root / SCHEMA
    schema = json.loads(path.read_text())
    settings = _plain(Settings.model_json_schema())
    definitions = settings.pop("$defs")
    for name in THE_CHARTS_OWN:
        del settings["properties"][name]
    for name in REQUIRED:
        settings["properties"][name] = _without_null(settings["properties"][name])
    settings["required"] = list(REQUIRED)
    services = {"propertyNames": {"enum": [spec.name for spec in SERVICES]}}
    for kind in (settings, definitions["TargetSettings"]):
        kind["properties"]["aws"] |= services
    schema["$defs"] = {"Settings": settings, **definitions}
    return {path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}


def _plain(schema: Any) -> Any:
    """Without titles, which repeat names, and defaults, which are the server's affair."""
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
    """The one kind of value in `anyOf` that is not null."""
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind.get("type") != "null"]
    return schema | (kinds[0] if kinds else {})
