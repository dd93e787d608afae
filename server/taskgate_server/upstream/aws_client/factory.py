"""boto3 clients, and how one is called.

The only place that imports boto3, which takes 0.3 s or more, so it is imported in the thread that
makes the first client, while the server already listens. Counterparts: `connection` decides when a
client is made, `answers` reads what comes back.
"""

from __future__ import annotations

import logging
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from taskgate_server.config import AwsSettings
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.endpoints import (
    check_ca_bundle,
    main_endpoint,
    route_by_prefix,
)
from taskgate_server.upstream.aws_client.responses import (
    BODY,
    InterimResponseError,
    Parsed,
    keep_body,
    response_parser_error,
)
from taskgate_server.upstream.aws_client.threads import EXTRA_THREADS

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.credentials import Credentials

    from taskgate_server.aws.fitting import FitMember
    from taskgate_server.aws.model import ServiceModel

ROLE_PROVIDER = "assume-role"
"""botocore's name of where such credentials come from."""

READ_TIMEOUT = "taskgate.read_timeout"
"""The parameter with which a call takes its own read timeout past botocore's generated methods."""

GRACE_SECONDS = 0.25
"""A call waits so much longer for AWS than its callers do, so that it is they who report the end of
their time, and not the socket."""

NO_BODY = Parsed({}, 0, has_odd_text=False)
"""Of responses whose body is a stream, or that have none."""
ODD_TEXT = "text"
"""In the place of a member: some text had half a surrogate pair."""


class CallersGoneError(Exception):
    """AWS did not respond within the time of the call's callers."""


def take_read_timeout(
    params: dict[str, Any], context: dict[str, Any], **_: object
) -> dict[str, Any] | None:
    """Hook `provide-client-params`: moves the read timeout of a call to its request's context.

    There botocore's HTTP session finds it (`httpsession.URLLib3Session`); in the configuration it
    would hold for all calls of the client. The hook has no state: it runs in many threads.
    """
    if READ_TIMEOUT not in params:
        return None
    context["read_timeout"] = params[READ_TIMEOUT]
    return {name: value for name, value in params.items() if name != READ_TIMEOUT}


class Reply(NamedTuple):
    """What AWS answered."""

    value: dict[str, Any]
    """The JSON of the body, with the members of the headers beside it."""
    request_id: str
    size: int
    """Bytes of the body; 0 for a stream."""
    odd: tuple[str, ...] = ()
    """The members with odd values, each as often as it had one: `TaskSummary.createdAt`."""


@dataclass(frozen=True, slots=True)
class AwsClient:
    """A boto3 client, with what is asked of it at each call looked up beforehand."""

    client: BaseClient
    methods: dict[str, str]
    """Operation name -> the client's method of that operation."""
    region: str
    endpoint: str
    """Host and port of the endpoint, before any prefix."""
    reach: tuple[str, int] | None = None
    """Host and port that calls connect to, most of them; None where a proxy is in between."""
    account: str = ""
    """AWS account of the credentials; empty if it is not known."""
    read_timeout: float = math.inf
    """Seconds that the client waits for a response at most."""
    fitters: Fitters | None = None
    """Fit responses to the model; None where they are taken as they are."""

    def call(self, operation: str, params: dict[str, Any], time_left: float = math.inf) -> Reply:
        """Call AWS in this thread.

        Args:
            operation: by its AWS name.
            params: as boto3 takes them.
            time_left: seconds until nobody waits for the response.

        Raises:
            CallersGoneError: there was no response by then.
            Exception: botocore's errors.
        """
        if time_left <= 0:
            raise CallersGoneError
        is_shorter = time_left + GRACE_SECONDS < self.read_timeout
        if is_shorter:
            params = {**params, READ_TIMEOUT: time_left + GRACE_SECONDS}
        method: Callable[..., dict[str, Any]] = getattr(self.client, self.methods[operation])
        try:
            parsed = method(**params)
        except InterimResponseError:
            # The final response may still come on the connection: no other call may read it.
            self.client.close()
            raise response_parser_error("it is an interim response") from None
        except Exception as error:
            if is_shorter and _is_read_timeout(error):
                raise CallersGoneError from error
            raise
        return self._reply(operation, parsed)

    def _reply(self, operation: str, parsed: dict[str, Any]) -> Reply:
        metadata = parsed.pop("ResponseMetadata", {})
        body: Parsed = parsed.pop(BODY, NO_BODY)
        odd = [ODD_TEXT] if body.has_odd_text else []
        value = {**body.value, **parsed}
        if self.fitters is not None:
            value = self.fitters.fit(operation, value, odd)
        return Reply(value, metadata.get("RequestId", ""), body.size, tuple(odd))


def _is_read_timeout(error: Exception) -> bool:
    from botocore.exceptions import ReadTimeoutError  # noqa: PLC0415  # see the module's docstring

    return isinstance(error, ReadTimeoutError)


def _user_agent() -> str:
    """Who asks, for AWS's own logs (CloudTrail has it as `userAgent`)."""
    names = {"taskgate": "taskgate", "Boto3": "boto3", "Botocore": "botocore"}
    versions = " ".join(f"{title}/{version(package)}" for title, package in names.items())
    return f"{versions} lang/python#{platform.python_version()}"


def _role_credentials(role_arn: str, settings: AwsSettings) -> Credentials:
    """The credentials of a role, which botocore renews before they expire.

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
        # AWS tells it to whoever audits the calls.
        extra_args={"RoleSessionName": "taskgate", **more},
    )

    def fetch() -> Any:
        # A refusal of STS is one of the server's credentials, whichever call it interrupts.
        try:
            return fetcher.fetch_credentials()
        except (BotoCoreError, ClientError) as error:
            raise CredentialRetrievalError(provider=ROLE_PROVIDER, error_msg=str(error)) from None

    credentials = botocore.credentials.DeferredRefreshableCredentials(fetch, ROLE_PROVIDER)
    credentials.get_frozen_credentials()  # a role that cannot be assumed is told at the start
    return credentials


def _region(settings: AwsSettings) -> str | None:
    # Every AWS SDK but boto3 reads AWS_REGION, and EKS and Lambda set it:
    # https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    return settings.region or os.environ.get("AWS_REGION")


class Fitters:
    """Fit the responses of one AWS service to its model; one for each operation, when it is used.

    Args:
        service: botocore's model of the service.
    """

    def __init__(self, service: ServiceModel) -> None:
        from taskgate_server.aws.fitting import Fitter  # noqa: PLC0415  # imports botocore

        self._service = service
        self._fitter = Fitter()
        self._fits: dict[str, FitMember | None] = {}

    def fit(self, operation: str, value: dict[str, Any], odd: list[str]) -> dict[str, Any]:
        """Return the value, or a copy without odd values; notes their members."""
        if operation not in self._fits:
            shape = self._service.operation_model(operation).output_shape
            self._fits[operation] = self._fitter.compile(shape) if shape is not None else None
        fit = self._fits[operation]
        fitted: dict[str, Any] = value if fit is None else fit(value, odd)
        return fitted


def make_client(spec: ServiceSpec, settings: AwsSettings) -> AwsClient:
    """A client with credentials, by boto3's own search for them.

    Raises:
        Exception: botocore's errors, NoCredentialsError if there are none.
    """
    import boto3  # noqa: PLC0415  # see the module's docstring
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415

    # It warns of headers that it cannot parse, with all of them and the address, ids included.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
    # With a traceback, of what the connection tells in a line.
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
    # settings has no such names. For any other, botocore's own settings decide, such as
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
            # One for each thread: calls without a response give their slot away, not their thread.
            max_pool_connections=settings.max_concurrent_calls + EXTRA_THREADS,
            # `retries` does it, in the caller's time and without keeping a thread waiting.
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
            # Every request has been checked against the model already, more strictly. -25 % of the
            # CPU of a BatchGetTask of 100.
            parameter_validation=False,
            # boto3 would put its own together anew twice for each request. -20 % of a GetTask.
            user_agent=_user_agent(),
        ),
    )
    urls = settings.endpoint_urls
    if any(url.startswith("https:") for url in (client.meta.endpoint_url, *urls.values())):
        check_ca_bundle(core)
    route_by_prefix(client, urls)
    client.meta.events.register("before-parse", keep_body)
    client.meta.events.register("provide-client-params", take_read_timeout)
    return AwsClient(
        client=client,
        methods={name: method for method, name in client.meta.method_to_api_mapping.items()},
        region=client.meta.region_name,
        endpoint=urlsplit(client.meta.endpoint_url).netloc,
        reach=_reach(client, settings),
        account=_account(credentials, settings),
        read_timeout=settings.read_timeout_seconds,
        fitters=Fitters(client.meta.service_model),
    )


def _account(credentials: Any, settings: AwsSettings) -> str:
    """Return the account of credentials, without asking AWS; empty if they do not have it."""
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415  # see the docstring

    if settings.role_arn is not None:
        return settings.role_arn.split(":")[4]
    # That of refreshable ones may call AWS to refresh them.
    name = "_account_id" if isinstance(credentials, RefreshableCredentials) else "account_id"
    return getattr(credentials, name, None) or ""


def _reach(client: BaseClient, settings: AwsSettings) -> tuple[str, int] | None:
    """Return the host and port that most operations connect to; None where a proxy is between."""
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # see the module's docstring

    url, host = main_endpoint(client, settings.endpoint_urls)
    if not host or get_environ_proxies(url):
        return None
    parts = urlsplit(url)
    return host, parts.port or (443 if parts.scheme == "https" else 80)
