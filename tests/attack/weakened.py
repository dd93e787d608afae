"""`python -m tests.attack.weakened NAME serve`: the server's command with one defence off.

It shows that the attack suite notices a missing defence: the control of each attack.
"""

from __future__ import annotations

import sys

from taskgate_client.commands import main
from tests.attack import weaknesses

if __name__ == "__main__":
    getattr(weaknesses, sys.argv.pop(1))()
    sys.exit(main.main())
