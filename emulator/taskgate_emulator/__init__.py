"""A local AWS for Deadline Cloud and HealthOmics, for the real AWS SDKs and CLIs to talk to."""

from __future__ import annotations

from taskgate_emulator.core.clock import Clock, ManualClock, system_clock
from taskgate_emulator.core.faults import Fault
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_emulator.emulator import Emulator

__all__ = ["Clock", "Emulator", "Fault", "ManualClock", "RecordedRequest", "system_clock"]
