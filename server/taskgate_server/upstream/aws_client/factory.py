"""boto3 clients: how they are made, which endpoints they use, and how one is called.

The only module that imports boto3. The import takes 0.3 s or more, so it happens in the thread that
makes the first client, while the server already listens. `connection` decides when a client is
made; `transport` sends its requests, and `responses` parses the responses.

The models of AWS Deadline Cloud and AWS HealthOmics prefix the host by operation
(`management.deadline…`, `workflows-omics…`), and AWS PrivateLink has an endpoint for each prefix.
"""

from __future__ import annotations

import logging
import os
import platform
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from taskgate_server.config import AwsSettings
from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client import greenlets
from taskgate_server.upstream.aws_client.failures import CaBundleError
from taskgate_server.upstream.aws_client.responses import BODY, ParsedBody, parse_body
from taskgate_server.upstream.aws_client.uploads import set_hash

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

    from taskgate_server.aws.fitting import FitMember
    from taskgate_server.aws.model import OperationModel, ServiceModel
    from taskgate_server.upstream.aws_client.credentials import HeldCredentials
    from taskgate_server.upstream.aws_client.transport import Transport

NO_BODY: Final = ParsedBody({}, 0, has_odd_text=False)
"""For responses whose body is a stream, or that have none."""
ODD_TEXT: Final = "text"
"""Takes the place of a member: some text had an unpaired surrogate."""


class ClientResponse(NamedTuple):
    """A response of AWS."""

    value: dict[str, Any]
    """The JSON of the body, with the members of the headers."""
    request_id: str
    size: int
    """Bytes of the body; 0 for a stream."""
    odd_members: tuple[str, ...] = ()
    """The members with odd values, once for each: `TaskSummary.createdAt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsClient:
    """A boto3 client on the event loop, with what each call needs looked up beforehand."""

    client: BaseClient
    methods: dict[str, str]
    """Operation name -> the client's method of that operation."""
    region: str
    endpoint: str
    """Host and port of the endpoint, before any prefix."""
    transport: Transport
    credentials: HeldCredentials
    address: tuple[str, int] | None = None
    """Host and port that most calls connect to; None if there is a proxy."""
    account: str = ""
    """AWS account of the credentials; empty if unknown."""
    fit_of: Callable[[str], FitMember | None] = lambda _: None
    """Returns the function that fits responses of an operation to the model; None if there is no
    such function, and responses stay unchanged."""

    async def call(self, operation: str, params: Mapping[str, Any]) -> ClientResponse:
        """Call AWS. To cancel the call closes its connection.

        Args:
            operation: AWS name.
            params: as boto3 takes them.

        Raises:
            Exception: botocore's errors.
        """
        await self.credentials.renew()
        method: Callable[..., dict[str, Any]] = getattr(self.client, self.methods[operation])
        parsed = await greenlets.run(method, **params)
        metadata = parsed.pop("ResponseMetadata", {})
        body: ParsedBody = parsed.pop(BODY, NO_BODY)
        if body.payload is not None:
            parsed.pop(body.payload, None)  # what botocore made of the replaced body
        odd_members = [ODD_TEXT] if body.has_odd_text else []
        value = {**body.value, **parsed}
        fit = self.fit_of(operation)
        if fit is not None:
            value = fit(value, odd_members)
        return ClientResponse(value, metadata.get("RequestId", ""), body.size, tuple(odd_members))

    async def close(self) -> None:
        """Close the connections when the present calls have ended."""
        await self.transport.retire()


def _compile_fits(service: ServiceModel) -> Callable[[str], FitMember | None]:
    """Return a function that returns how responses of an operation fit; it compiles each once."""
    from taskgate_server.aws.fitting import Fitter  # noqa: PLC0415  # imports botocore

    fitter = Fitter()

    @cache
    def fit_of(operation: str) -> FitMember | None:
        shape = service.operation_model(operation).output_shape
        return fitter.compile(shape) if shape is not None else None

    return fit_of


def make_client(spec: ServiceSpec, settings: AwsSettings) -> AwsClient:
    """Return a client with the credentials that boto3 finds; may call AWS for them.

    Raises:
        Exception: botocore's errors, NoCredentialsError if there are none.
    """
    import boto3  # noqa: PLC0415  # see the module's docstring
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    from taskgate_server.aws.model_files import share_files  # noqa: PLC0415  # imports botocore
    from taskgate_server.upstream.aws_client.credentials import (  # noqa: PLC0415  # imports botocore
        hold_credentials,
        region_of,
    )

    # It logs a traceback of what the connection reports in one line.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)
    core = botocore.session.get_session()
    share_files(core)
    # Timestamps in headers stay AWS's own text, like those in bodies.
    core.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=lambda value: value
    )
    if settings.role_arn is not None and not (settings.sts_endpoint_url or "").startswith("http:"):
        check_ca_bundle(core)
    credentials = hold_credentials(core, settings, DaemonThreads("credentials"))
    # Any: boto3-stubs types each service by its literal name, and ours are data.
    session: Any = boto3.Session(botocore_session=core, region_name=region_of(settings))
    # Both services prefix the host by operation (management., workflows-). An endpoint of the
    # settings has no such names. For others botocore's own settings decide, such as
    # AWS_DISABLE_HOST_PREFIX_INJECTION.
    prefixing: dict[str, Any] = (
        {} if settings.endpoint_url is None else {"inject_host_prefix": False}
    )
    client = session.client(
        spec.name,
        endpoint_url=settings.endpoint_url,
        config=Config(
            **prefixing,
            # `retries` does it, within the caller's deadline.
            retries={"mode": "standard", "total_max_attempts": 1},
            # Requests have been validated against the model already, more strictly. This saves 25 %
            # of the CPU time of a BatchGetTask of 100.
            parameter_validation=False,
            # boto3 would build its own twice for each request. This saves 20 % of a GetTask.
            user_agent=_user_agent(),
        ),
    )
    urls = settings.endpoint_urls
    is_encrypted = any(
        url.startswith("https:") for url in (client.meta.endpoint_url, *urls.values())
    )
    transport = _make_transport(core, settings, is_encrypted=is_encrypted)
    _route_by_prefix(client, urls)
    client.meta.events.register("before-sign", set_hash)
    client.meta.events.register("before-send", transport.send)
    client.meta.events.register("before-parse", parse_body)
    return AwsClient(
        client=client,
        methods={name: method for method, name in client.meta.method_to_api_mapping.items()},
        region=client.meta.region_name,
        endpoint=urlsplit(client.meta.endpoint_url).netloc,
        transport=transport,
        credentials=credentials,
        address=_address(client, settings),
        account=_account(credentials, settings),
        fit_of=_compile_fits(client.meta.service_model),
    )


def _make_transport(session: Session, settings: AwsSettings, *, is_encrypted: bool) -> Transport:
    """Return the transport of a client.

    Raises:
        CaBundleError: the CA bundle cannot be used.
    """
    from taskgate_server.upstream.aws_client.transport import (  # noqa: PLC0415  # imports botocore
        Transport,
        make_ssl_context,
    )

    return Transport(
        ssl_context=make_ssl_context(check_ca_bundle(session)) if is_encrypted else None,
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
    )


def _user_agent() -> str:
    """Return the User-Agent for AWS's own logs (`userAgent` in CloudTrail)."""
    names = {"taskgate": "taskgate", "Boto3": "boto3", "Botocore": "botocore"}
    versions = " ".join(f"{title}/{version(package)}" for title, package in names.items())
    return f"{versions} lang/python#{platform.python_version()}"


def _account(credentials: HeldCredentials, settings: AwsSettings) -> str:
    """Return the account of the credentials without calling AWS; empty if they do not have it."""
    if settings.role_arn is not None:
        return settings.role_arn.split(":")[4]
    return credentials.account_id or ""


def _address(client: BaseClient, settings: AwsSettings) -> tuple[str, int] | None:
    """Return the host and port that most operations connect to; None if there is a proxy.

    The name of the host without its prefix need not exist.
    """
    from taskgate_server.upstream.aws_client.transport import proxy_of  # noqa: PLC0415  # imports botocore

    service = client.meta.service_model
    operations = [service.operation_model(name) for name in service.operation_names]
    prefix = Counter(_prefix(each) for each in operations).most_common(1)[0][0]
    url = settings.endpoint_urls.get(prefix.rstrip(".-"))
    if url is not None or not client.meta.config.inject_host_prefix:
        prefix = ""
    parts = urlsplit(url or client.meta.endpoint_url)
    if not parts.hostname or proxy_of(parts.geturl()):
        return None
    return prefix + parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def check_ca_bundle(session: Session) -> str | None:
    """Return the path of the CA bundle that the environment or the profile names, if any.

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
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise CaBundleError(setting, path, "it has no certificates in PEM") from None
    except OSError as error:
        raise CaBundleError(setting, path, error.strerror or type(error).__name__) from None
    return str(path)


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


def _route_by_prefix(client: BaseClient, urls: Mapping[str, str]) -> None:
    """Make a client send operations to these endpoints by the names of their host prefixes."""

    def route(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        url = urls.get(prefix_name(model))
        if url is not None:
            own = urlsplit(url)
            params["url"] = (
                urlsplit(params["url"])._replace(scheme=own.scheme, netloc=own.netloc).geturl()
            )

    if urls:
        client.meta.events.register("before-call", route)
