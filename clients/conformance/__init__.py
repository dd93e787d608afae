"""The conformance suite of all clients: `python -m conformance`; see README.md."""

from __future__ import annotations

import os

# Some cases have failing handshakes, which gRPC would log. It reads this variable when imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
