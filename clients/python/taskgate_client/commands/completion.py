"""`taskgate completion`."""

from __future__ import annotations

import sys
from argparse import Namespace

import shtab

from taskgate_client.commands.exits import Exit


def completion(options: Namespace) -> int:
    """Prints the script that a shell has to read to complete the whole command line."""
    sys.stdout.write(shtab.complete(options.root, shell=options.shell) + "\n")
    return Exit.OK
