"""What can go wrong on the way to AWS: each of botocore's exceptions as a `TaskgateError`.

Counterpart: `error_rules.AWS_ERRORS` has what AWS itself answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

from taskgate_server import errors
from taskgate_server.errors import Origin, TaskgateError
from taskgate_server.upstream.aws_client.endpoints import CaBundleError


def from_botocore(error: Exception, origin: Origin) -> TaskgateError:
    """A failure of a boto3 call, whatever it was. An unexpected one is a bug."""
    for kinds, make in _botocore_errors():
        if isinstance(error, kinds):
            return make(error, origin)
    return errors.BugError()


def from_set_up(error: Exception, origin: Origin) -> TaskgateError:
    """A failure to make a client. ValueError is botocore's word for an endpoint that is no URL."""
    if isinstance(error, CaBundleError):
        return _without_ca_bundle(error, origin)
    return (
        _badly_set_up(error, origin) if type(error) is ValueError else from_botocore(error, origin)
    )


def _answered(error: Any, origin: Origin) -> TaskgateError:
    return errors.from_aws(error.response, origin)


def _without_credentials(_: Any, origin: Origin) -> TaskgateError:
    return errors.CredentialsMissingError(
        origin,
        f"this server has no AWS credentials for {origin.title}: give it some in one of the ways"
        " that boto3 knows (environment, profile, role)",
    )


def _badly_set_up(_: Any, origin: Origin) -> TaskgateError:
    return errors.ConfigurationError(
        origin,
        f"this server is not set up for {origin.title}: check its region"
        f" (TASKGATE_AWS__{origin.service.upper()}__REGION or AWS_REGION) and endpoint",
    )


def _without_ca_bundle(error: CaBundleError, origin: Origin) -> TaskgateError:
    return errors.ConfigurationError(
        origin,
        f"this server cannot verify {origin.title}: the CA bundle of {error.setting} cannot be used"
        f" ({error.fault}); correct its path, or unset it",
    )


def _refused_by_sdk(*_: Any) -> TaskgateError:
    return errors.invalid_request({"": "breaks a rule of AWS's model"})


def _garbled(_: Any, origin: Origin) -> TaskgateError:
    return errors.UnreadableResponseError(origin.operation)


def _cut_short(_: Any, origin: Origin) -> TaskgateError:
    return errors.ResponseCutError(
        origin,
        f"{origin.title} ended its response to {origin.operation} early: retry",
    )


def _unreachable(what: str) -> Callable[[Any, Origin], TaskgateError]:
    def make(_: Any, origin: Origin) -> TaskgateError:
        return errors.UnreachableError(
            origin,
            f"{origin.title} {what}: check this server's region, endpoint and network",
            details=[errors.retry_info(1)],
        )

    return make


Rules: TypeAlias = Sequence[
    tuple[tuple[type[Exception], ...], Callable[[Any, Origin], TaskgateError]]
]


@cache
def _botocore_errors() -> Rules:
    """The table of botocore's exceptions; loaded late, since importing them takes 0.2 s."""
    import botocore.exceptions as aws  # noqa: PLC0415
    import urllib3.exceptions  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    return (
        ((aws.ClientError,), _answered),
        (
            (
                aws.NoCredentialsError,
                aws.PartialCredentialsError,
                aws.CredentialRetrievalError,
                aws.TokenRetrievalError,
                aws.UnauthorizedSSOTokenError,
                aws.SSOError,
                aws.ProfileNotFound,
                aws.ConfigParseError,
            ),
            _without_credentials,
        ),
        (
            (
                aws.NoRegionError,
                aws.InvalidRegionError,
                aws.EndpointProviderError,
                aws.UnknownServiceError,
                aws.InvalidEndpointConfigurationError,
            ),
            _badly_set_up,
        ),
        ((aws.ParamValidationError,), _refused_by_sdk),
        ((ResponseParserError,), _garbled),
        ((aws.IncompleteReadError, aws.ResponseStreamingError), _cut_short),
        ((urllib3.exceptions.HTTPError,), _cut_short),  # of an error's body, botocore wraps none
        ((aws.ReadTimeoutError,), _unreachable("does not respond in time")),
        ((aws.ConnectTimeoutError,), _unreachable("does not accept connections in time")),
        ((aws.ConnectionClosedError,), _unreachable("closed the connection")),
        ((aws.SSLError,), _unreachable("has a certificate that this server does not trust")),
        ((aws.HTTPClientError, aws.ConnectionError), _unreachable("cannot be reached")),
    )
