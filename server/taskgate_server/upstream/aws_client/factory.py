"""boto3 clients: how they are made, which endpoints they use, and how one is called.

The only module that imports boto3. The import takes 0.3 s or more, so it happens in the thread that
makes the first client, while the server already listens. `connection` decides when a client is
made; `responses` parses responses.

The models of AWS Deadline Cloud and AWS HealthOmics prefix the host by operation
(`management.deadline…`, `workflows-omics…`), and AWS PrivateLink has an endpoint for each prefix.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from taskgate_server.config import AwsSettings
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.failures import CaBundleError
from taskgate_server.upstream.aws_client.responses import (
    BODY,
    InterimResponseError,
    ParsedBody,
    parse_body,
    response_parser_error,
)

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.credentials import Credentials
    from botocore.session import Session

    from taskgate_server.aws.fitting import FitMember
    from taskgate_server.aws.model import OperationModel, ServiceModel

ROLE_PROVIDER: Final = "assume-role"
"""botocore's name for the source of such credentials."""

READ_TIMEOUT: Final = "taskgate.read_timeout"
"""The parameter that carries a call's own read timeout past botocore's generated methods."""

GRACE_SECONDS: Final = 0.25
"""A call waits so much longer for AWS than its callers do, so that they report the end of their
time, not the socket."""

EXTRA_THREADS: Final = 64
"""Threads and connections for calls that have given their slots back (`STUCK_SECONDS`): the circuit
breaker sends a few into an outage each second, and each may hang for the 30 s of the read
timeout."""

NO_BODY: Final = ParsedBody({}, 0, has_odd_text=False)
"""For responses whose body is a stream, or that have none."""
ODD_TEXT: Final = "text"
"""Takes the place of a member: some text had an unpaired surrogate."""


class CallTimeoutError(Exception):
    """AWS did not respond before the call's callers gave up."""


class ClientResponse(NamedTuple):
    """A response of AWS."""

    value: dict[str, Any]
    """The JSON of the body, with the members of the headers."""
    request_id: str
    size: int
    """Bytes of the body; 0 for a stream."""
    odd_members: tuple[str, ...] = ()
    """The members with odd values, once for each: `TaskSummary.createdAt`."""


@dataclass(frozen=True, slots=True)
class AwsClient:
    """A boto3 client, with what each call needs looked up beforehand."""

    client: BaseClient
    methods: dict[str, str]
    """Operation name -> the client's method of that operation."""
    region: str
    endpoint: str
    """Host and port of the endpoint, before any prefix."""
    address: tuple[str, int] | None = None
    """Host and port that most calls connect to; None if there is a proxy."""
    account: str = ""
    """AWS account of the credentials; empty if unknown."""
    read_timeout: float = math.inf
    """Maximum seconds that the client waits for a response."""
    fit_of: Callable[[str], FitMember | None] = lambda _: None
    """Returns the function that fits responses of an operation to the model; None if there is no
    such function, and responses stay unchanged."""
    clock: Callable[[], float] = time.monotonic
    """Of `give_up_at`."""

    def call(
        self, operation: str, params: dict[str, Any], give_up_at: float = math.inf
    ) -> ClientResponse:
        """Call AWS in this thread.

        Args:
            operation: AWS name.
            params: as boto3 takes them.
            give_up_at: when no requester waits for the response any more, by the clock.

        Raises:
            CallTimeoutError: there was no response by then.
            Exception: botocore's errors.
        """
        timeout = give_up_at - self.clock()
        if timeout <= 0:
            raise CallTimeoutError
        is_shorter = timeout + GRACE_SECONDS < self.read_timeout
        if is_shorter:
            params = {**params, READ_TIMEOUT: timeout + GRACE_SECONDS}
        method: Callable[..., dict[str, Any]] = getattr(self.client, self.methods[operation])
        try:
            parsed = method(**params)
        except InterimResponseError:
            # The final response may still come on the connection: no other call may read it.
            self.client.close()
            raise response_parser_error("it is an interim response") from None
        except Exception as error:
            from botocore.exceptions import ReadTimeoutError  # noqa: PLC0415  # see the docstring

            if is_shorter and isinstance(error, ReadTimeoutError):
                raise CallTimeoutError from error
            raise
        metadata = parsed.pop("ResponseMetadata", {})
        body: ParsedBody = parsed.pop(BODY, NO_BODY)
        odd_members = [ODD_TEXT] if body.has_odd_text else []
        value = {**body.value, **parsed}
        fit = self.fit_of(operation)
        if fit is not None:
            value = fit(value, odd_members)
        return ClientResponse(value, metadata.get("RequestId", ""), body.size, tuple(odd_members))


def _compile_fits(service: ServiceModel) -> Callable[[str], FitMember | None]:
    """Return a function that returns how responses of an operation fit; it compiles each once."""
    from taskgate_server.aws.fitting import Fitter  # noqa: PLC0415  # imports botocore

    fitter = Fitter()

    @cache
    def fit_of(operation: str) -> FitMember | None:
        shape = service.operation_model(operation).output_shape
        return fitter.compile(shape) if shape is not None else None

    return fit_of


def move_read_timeout(
    params: dict[str, Any], context: dict[str, Any], **_: object
) -> dict[str, Any] | None:
    """Move a call's read timeout to its request's context (hook `provide-client-params`).

    botocore's HTTP session reads it there (`httpsession.URLLib3Session`); the configuration would
    apply to all calls of the client. The hook has no state, since it runs in many threads.
    """
    if READ_TIMEOUT not in params:
        return None
    context["read_timeout"] = params[READ_TIMEOUT]
    return {name: value for name, value in params.items() if name != READ_TIMEOUT}


def make_client(spec: ServiceSpec, settings: AwsSettings) -> AwsClient:
    """Return a client with the credentials that boto3 finds.

    Raises:
        Exception: botocore's errors, NoCredentialsError if there are none.
    """
    import boto3  # noqa: PLC0415  # see the module's docstring
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415

    # It warns of headers that it cannot parse, and logs all of them and the address, ids included.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
    # It logs a traceback of what the connection reports in one line.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)
    core = botocore.session.get_session()
    # Timestamps in headers stay AWS's own text, like those in bodies.
    core.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=lambda value: value
    )
    if settings.role_arn is not None:
        if not (settings.sts_endpoint_url or "").startswith("http:"):
            check_ca_bundle(core)
        role = _role_credentials(settings.role_arn, settings)
        core.register_component(
            "credential_provider", SimpleNamespace(load_credentials=lambda: role)
        )
    # Any: boto3-stubs types each service by its literal name, and ours are data.
    session: Any = boto3.Session(
        botocore_session=core,
        region_name=_region(settings),
    )
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
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
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            # One for each thread: stuck calls give their slot back, but keep their thread.
            max_pool_connections=settings.max_concurrent_calls + EXTRA_THREADS,
            # `retries` does it, within the caller's deadline and without blocking a thread.
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
            # Requests have been validated against the model already, more strictly. This saves 25 %
            # of the CPU time of a BatchGetTask of 100.
            parameter_validation=False,
            # boto3 would build its own twice for each request. This saves 20 % of a GetTask.
            user_agent=_user_agent(),
        ),
    )
    urls = settings.endpoint_urls
    if any(url.startswith("https:") for url in (client.meta.endpoint_url, *urls.values())):
        check_ca_bundle(core)
    _route_by_prefix(client, urls)
    client.meta.events.register("before-parse", parse_body)
    client.meta.events.register("provide-client-params", move_read_timeout)
    return AwsClient(
        client=client,
        methods={name: method for method, name in client.meta.method_to_api_mapping.items()},
        region=client.meta.region_name,
        endpoint=urlsplit(client.meta.endpoint_url).netloc,
        address=_address(client, settings),
        account=_account(credentials, settings),
        read_timeout=settings.read_timeout_seconds,
        fit_of=_compile_fits(client.meta.service_model),
    )


def _user_agent() -> str:
    """Return the User-Agent for AWS's own logs (`userAgent` in CloudTrail)."""
    names = {"taskgate": "taskgate", "Boto3": "boto3", "Botocore": "botocore"}
    versions = " ".join(f"{title}/{version(package)}" for title, package in names.items())
    return f"{versions} lang/python#{platform.python_version()}"


def _role_credentials(role_arn: str, settings: AwsSettings) -> Credentials:
    """Return the credentials of a role, which botocore renews before they expire.

    Raises:
        Exception: botocore's errors, CredentialRetrievalError if AWS STS refuses.
    """
    import botocore.credentials  # noqa: PLC0415  # see the module's docstring
    import botocore.session  # noqa: PLC0415
    from botocore.exceptions import (  # noqa: PLC0415
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
    )

    session = botocore.session.get_session()
    own = session.get_credentials()
    if own is None:
        raise NoCredentialsError
    more = {"ExternalId": settings.role_external_id} if settings.role_external_id else {}
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=partial(
            session.create_client,
            region_name=_region(settings),
            endpoint_url=settings.sts_endpoint_url,
        ),
        source_credentials=own,
        role_arn=role_arn,
        # It appears in CloudTrail.
        extra_args={"RoleSessionName": "taskgate", **more},
    )

    def fetch() -> Any:
        # A refusal of STS is about the server's credentials, whichever call it interrupts.
        try:
            return fetcher.fetch_credentials()
        except (BotoCoreError, ClientError) as error:
            raise CredentialRetrievalError(provider=ROLE_PROVIDER, error_msg=str(error)) from None

    credentials = botocore.credentials.DeferredRefreshableCredentials(fetch, ROLE_PROVIDER)
    credentials.get_frozen_credentials()  # fails now if the role cannot be assumed
    return credentials


def _region(settings: AwsSettings) -> str | None:
    # Every AWS SDK but boto3 reads AWS_REGION, and EKS and Lambda set it:
    # https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    return settings.region or os.environ.get("AWS_REGION")


def _account(credentials: Any, settings: AwsSettings) -> str:
    """Return the account of credentials without calling AWS; empty if they do not have it."""
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415  # see the docstring

    if settings.role_arn is not None:
        return settings.role_arn.split(":")[4]
    # The property of refreshable credentials may call AWS to refresh them.
    name = "_account_id" if isinstance(credentials, RefreshableCredentials) else "account_id"
    return getattr(credentials, name, None) or ""


def _address(client: BaseClient, settings: AwsSettings) -> tuple[str, int] | None:
    """Return the host and port that most operations connect to; None if there is a proxy.

    The name of the host without its prefix need not exist.
    """
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # see the module's docstring

    service = client.meta.service_model
    operations = [service.operation_model(name) for name in service.operation_names]
    prefix = Counter(_prefix(each) for each in operations).most_common(1)[0][0]
    url = settings.endpoint_urls.get(prefix.rstrip(".-"))
    if url is not None or not client.meta.config.inject_host_prefix:
        prefix = ""
    parts = urlsplit(url or client.meta.endpoint_url)
    if not parts.hostname or get_environ_proxies(parts.geturl()):
        return None
    return prefix + parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


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
