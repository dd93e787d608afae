"""An issuer of tokens whose keys rotate, published by a web server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "taskgate"
HOUR = 3600


class Issuer:
    """Signs tokens, and publishes the keys for them."""

    def __init__(self) -> None:
        self.rotations = 0
        self.fetches = 0
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.rotations += 1
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def key_id(self) -> str:
        return f"key-{self.rotations}"

    def published(self) -> bytes:
        """Return the key set as JSON."""
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [public | {"kid": self.key_id, "alg": "ES256"}]}).encode()

    def sign(self, subject: str = "alice", *groups: str, **claims: Any) -> str:
        """Return a token that is valid for an hour unless `claims` override that."""
        now = int(time.time())
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "exp": now + HOUR,
            "groups": list(groups),
        }
        present = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(present, self.key, "ES256", {"kid": self.key_id})

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Publish the keys; yield the URL."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(issuer.published())

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
