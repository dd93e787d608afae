"""The alerting rules and the dashboard of deploy/observability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/observability/rules.yml"
DASHBOARD = json.loads((ROOT / "deploy/observability/dashboard.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]


def expressions() -> list[str]:
    targets = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [target["expr"] for target in targets] + [alert["expr"] for alert in ALERTS]
