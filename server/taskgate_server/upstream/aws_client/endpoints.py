"""The endpoints of a client: one for each host prefix, and the CA bundle for TLS.

The models of AWS Deadline Cloud and AWS HealthOmics prefix the host by operation
(`management.deadline…`, `workflows-omics…`), and AWS PrivateLink has an endpoint for each prefix.
"""

from __future__ import annotations

import os
import ssl
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:  # importing them takes 0.3 s
    from botocore.client import BaseClient
    from botocore.session import Session

    from taskgate_server.aws.model import OperationModel


class CaBundleError(Exception):
    """The CA bundle for connections to AWS cannot be used.

    Args:
        setting: the variable, or the key of the profile, that has its path.
        path: of the bundle.
        fault: why it cannot be used.
    """

    def __init__(self, setting: str, path: str, fault: str) -> None:
        super().__init__(f"{setting}: {path}: {fault}")
        self.setting = setting
        self.fault = fault


def check_ca_bundle(session: Session) -> None:
    """Check the CA bundle that the environment or the profile names, if any.

    botocore reads it for each connection, and reports a missing one as an unreachable endpoint.

    Raises:
        CaBundleError: it cannot be read, or has no certificates.
    """
    path = session.get_config_variable("ca_bundle")
    setting = "AWS_CA_BUNDLE" if os.environ.get("AWS_CA_BUNDLE") else "ca_bundle of the AWS profile"
    if not path:
        # https://github.com/boto/botocore: EndpointCreator._get_verify_value
        setting = "REQUESTS_CA_BUNDLE"
        path = os.environ.get(setting)
    if not path:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise CaBundleError(setting, path, "it has no certificates in PEM") from None
    except OSError as error:
        raise CaBundleError(setting, path, error.strerror or type(error).__name__) from None


def prefix_name(operation: OperationModel) -> str:
    """Return the name of an operation's host prefix, such as `workflows`; empty if it has none."""
    return _prefix(operation).rstrip(".-")


def _prefix(operation: OperationModel) -> str:
    endpoint: Any = operation.endpoint  # a str in botocore-stubs
    return str((endpoint or {}).get("hostPrefix", ""))


def prefix_names(service: str) -> list[str]:
    """Return the names of all host prefixes of an AWS service, the most common one first."""
    from taskgate_server.aws import model  # noqa: PLC0415  # takes 0.2 s, and few configure any

    operations = model.operations(model.load_service(service))
    names = Counter(prefix_name(operation) for operation in operations)
    return [name for name, _ in names.most_common() if name]


def route_by_prefix(client: BaseClient, urls: Mapping[str, str]) -> None:
    """Make a client send operations to the endpoints of their host prefixes.

    Args:
        client: of an AWS service.
        urls: endpoints by name of host prefix; operations with other prefixes are not affected.
    """

    def route(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        url = urls.get(prefix_name(model))
        if url is not None:
            own = urlsplit(url)
            params["url"] = (
                urlsplit(params["url"])._replace(scheme=own.scheme, netloc=own.netloc).geturl()
            )

    if urls:
        client.meta.events.register("before-call", route)


def main_endpoint(client: BaseClient, urls: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL that most operations of a client are sent to, and its host with the prefix.

    The name of the host without its prefix need not exist.
    """
    service = client.meta.service_model
    operations = [service.operation_model(name) for name in service.operation_names]
    prefix = Counter(_prefix(each) for each in operations).most_common(1)[0][0]
    url = urls.get(prefix.rstrip(".-"))
    if url is not None:
        return url, urlsplit(url).hostname or ""
    url = client.meta.endpoint_url
    prefix = prefix if client.meta.config.inject_host_prefix else ""
    return url, prefix + (urlsplit(url).hostname or "")
