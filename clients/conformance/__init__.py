"""Every client does the same: `python -m conformance`; see README.md."""

from __future__ import annotations
