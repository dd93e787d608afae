"""Every client does the same: `python -m conformance`; see README.md."""

from __future__ import annotations

import os

# Handshakes that have to fail are a part of it, and gRPC would tell of each. It reads this when it
# is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
