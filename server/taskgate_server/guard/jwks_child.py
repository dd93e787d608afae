"""Fetches a key set: runs as a process of its own, which is killed when the time is over.

A timeout of a socket starts again with every byte, and name resolution has none: a server that
sends a byte now and then would hold a thread for as long as it likes.

Reads the address from its standard input, and writes `{"data": base64}` or `{"fault": str}` to its
standard output.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from http.client import HTTPMessage
from typing import IO, Final
from urllib.parse import urlsplit

from taskgate_server.ports import is_loopback

MAX_BYTES: Final = 1024 * 1024
SOCKET_SECONDS: Final = 5.0


class _FaultError(Exception):
    """There is no key set at the address; the text says why."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that keep the transport protected.

    urllib's own handler also follows a redirect from https to http, where the network
    could replace the keys.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request, unless it would leave TLS."""
        new = urlsplit(newurl)
        stays_here = req.type == "http" and new.scheme == "http" and is_loopback(new.hostname or "")
        if new.scheme != "https" and not stays_here:
            raise _FaultError("it redirects to an address without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def main() -> None:
    """Fetch from the address of the standard input."""
    outcome: dict[str, str]
    try:
        outcome = {"data": base64.b64encode(_fetch(sys.stdin.read())).decode()}
    except _FaultError as fault:
        outcome = {"fault": str(fault)}
    except urllib.error.HTTPError as error:
        outcome = {"fault": f"it responds with HTTP status {error.code}"}
    except urllib.error.URLError as error:
        outcome = {"fault": f"it cannot be reached ({type(error.reason).__name__})"}
    except Exception as error:  # noqa: BLE001  # the type says enough for the log
        outcome = {"fault": f"it cannot be read ({type(error).__name__})"}
    json.dump(outcome, sys.stdout)


def _fetch(address: str) -> bytes:
    opener = urllib.request.build_opener(_SafeRedirects)
    # The address is the administrator's, https or this machine's: see `transport.faults`.
    with opener.open(address, timeout=SOCKET_SECONDS) as response:
        data = bytes(response.read(MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise _FaultError(f"it has more than {MAX_BYTES} bytes")
    return data


if __name__ == "__main__":
    main()
