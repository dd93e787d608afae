"""What the peers share: the upstream's address, a boto3 client."""

from __future__ import annotations

import argparse
from typing import Any

CREDENTIALS = {
    "aws_access_key_id": "any",
    "aws_secret_access_key": "any",  # the stub looks at no signature
    "region_name": "us-west-2",
}


def upstream_url() -> str:
    """Return the only argument of a peer."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--upstream", required=True)
    return str(arguments.parse_args().upstream)


def options(connections: int) -> dict[str, Any]:
    """Return botocore's Config with usual options; the stub has none of AWS's host prefixes."""
    return {"max_pool_connections": connections, "inject_host_prefix": False}


def make_client(service: str, url: str, connections: int) -> Any:
    """Make a boto3 client for the stub with a connection for each thread."""
    import boto3  # noqa: PLC0415, TID251  # a peer does what anyone would; aiobotocore's lacks it
    from botocore.config import Config  # noqa: PLC0415

    anything: Any = boto3  # its stubs want the service as a literal
    return anything.client(
        service, endpoint_url=url, config=Config(**options(connections)), **CREDENTIALS
    )


def print_port(port: int) -> None:
    """Print the port of this peer for the benchmark."""
    print(f"127.0.0.1:{port}", flush=True)  # noqa: T201  # for the parent
