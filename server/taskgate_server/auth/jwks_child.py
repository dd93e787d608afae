"""Fetches a key set in a child process, which is killed after a timeout.

A socket's timeout restarts with every byte, and name resolution has none: a server that sends a
byte now and then could occupy a thread without limit.

Reads `{"address": str, "token_file": str, "ca_file": str}` from its standard input, where the files
may be empty, and writes `{"data": base64}` or `{"fault": str}` to its standard output.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, build_opener, getproxies

from taskgate_server.ports import is_loopback

MAX_BYTES: Final = 1024 * 1024
SOCKET_SECONDS: Final = 5.0


class _FaultError(Exception):
    """The key set cannot be fetched; the text says why."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that keep the transport protected.

    urllib's own handler also follows a redirect from https to http, where an attacker on the
    network could replace the keys.
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
        """Return the next request.

        Raises:
            _FaultError: it would leave TLS.
        """
        new = urlsplit(newurl)
        stays_here = req.type == "http" and new.scheme == "http" and is_loopback(new.hostname or "")
        if new.scheme != "https" and not stays_here:
            raise _FaultError("the address redirects to one without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def main() -> None:
    """Fetch the key set that the standard input names."""
    outcome: dict[str, str]
    try:
        outcome = {"data": base64.b64encode(_fetch(**json.load(sys.stdin))).decode()}
    except _FaultError as fault:
        outcome = {"fault": str(fault)}
    except urllib.error.HTTPError as error:
        hint = ": it may need a token, see jwt_keys_token_file" if error.code in {401, 403} else ""
        outcome = {"fault": f"the address returns HTTP status {error.code}{hint}"}
    except urllib.error.URLError as error:
        outcome = {"fault": f"the address cannot be reached ({type(error.reason).__name__})"}
    except Exception as error:  # noqa: BLE001  # only the type goes to the log
        outcome = {"fault": f"the response cannot be read ({type(error).__name__})"}
    json.dump(outcome, sys.stdout)


def _fetch(address: str, token_file: str, ca_file: str) -> bytes:
    # The operator configured the address, https or on this machine: see `tls.find_faults`.
    request = urllib.request.Request(address)  # noqa: S310  # see above
    if token_file:
        # Unredirected: the token must not be sent to another address.
        request.add_unredirected_header("Authorization", f"Bearer {_read_token(token_file)}")
    # Plaintext requests to this machine must not go through a proxy.
    proxies = {scheme: url for scheme, url in getproxies().items() if scheme != "http"}
    opener = build_opener(
        _SafeRedirects, ProxyHandler(proxies), HTTPSHandler(context=_tls(ca_file))
    )
    with opener.open(request, timeout=SOCKET_SECONDS) as response:
        data = bytes(response.read(MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise _FaultError(f"the response has more than {MAX_BYTES} bytes")
    return data


def _read_token(file: str) -> str:
    try:
        token = Path(file).read_text(encoding="ascii").strip()
    except OSError as error:
        raise _FaultError(f"jwt_keys_token_file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _FaultError("jwt_keys_token_file has no token: it is not ASCII text") from None
    if not token or not token.isprintable() or " " in token:
        raise _FaultError("jwt_keys_token_file has no token: it must contain one word")
    return token


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise _FaultError("jwt_keys_ca_file has no certificates in PEM") from None
    except OSError as error:
        raise _FaultError(f"jwt_keys_ca_file cannot be read ({error.strerror})") from None


if __name__ == "__main__":
    main()
