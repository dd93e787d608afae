"""A page of the console, as tests use it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgate_emulator.seeds import ids as seed

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

SECONDS = 15.0

QUEUE = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}"
JOB = f"{QUEUE}/jobs/{seed.JOB_ID}"
RENDER = f"{JOB}/steps/{seed.RENDER_STEP_ID}"
FAILED_TASK = f"{RENDER}/tasks/{seed.FAILED_TASK_ID}"
RUNNING_TASK = f"{RENDER}/tasks/{seed.RUNNING_TASK_ID}"
PARAMETERS_TASK = f"{JOB}/steps/{seed.SIMULATE_STEP_ID}/tasks/{seed.EVERY_PARAMETER_TASK_ID}"
RUN = f"omics/runs/{seed.RUN_ID}"
FAILED_RUN_TASK = f"{RUN}/tasks/{seed.FAILED_RUN_TASK_ID}"

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"


@dataclass
class Console:
    """The console in one tab of a browser."""

    address: str
    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, violations of the policy, and requests to other origins."""
    expected: tuple[str, ...] = ()
    """Parts of complaints that a test provokes."""

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on(
            "console",
            lambda message: self._complain(message.text) if message.type == "error" else None,
        )
        self.page.on("request", self._check_origin)

    def open(self, route: str = "") -> None:
        """Show a page by its route, such as `task/omics/runs/1/tasks/2`."""
        self.page.goto(f"{self.address}#/{route}")

    def panel(self, title: str) -> Locator:
        """Return the part of the page with a title."""
        return self.page.get_by_role("region", name=title, exact=True)

    def axe(self) -> list[str]:
        """Return what axe-core finds on the page at the levels A and AA, by rule and element."""
        self.page.evaluate(f"() => {{ {AXE.read_text()} }}")
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        result: Any = self.page.evaluate(f"() => window.axe.run({json.dumps(options)})")
        return [
            f"{violation['id']} ({violation['impact']}): {node['html'][:200]}"
            f" {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        script = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def _check_origin(self, request: Request) -> None:
        if not request.url.startswith(self.address):
            self._complain(f"request to {request.url}")

    def _complain(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.complaints.append(text)
