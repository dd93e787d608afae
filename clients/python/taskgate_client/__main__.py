"""`python -m taskgate_client` runs the `taskgate` command."""

from __future__ import annotations

import sys

from taskgate_client.commands.main import main

sys.exit(main())
