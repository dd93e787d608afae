"""Failures of calls to AWS: converts botocore's exceptions to `TaskgateError`.

`error_rules.AWS_ERRORS` has the errors that AWS itself returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from taskgate_server import errors
from taskgate_server.errors import Origin, TaskgateError
from taskgate_server.upstream.aws_client.endpoints import CaBundleError


def from_botocore(error: Exception, origin: Origin) -> TaskgateError:
    """Convert any failure of a boto3 call. An unexpected one is a bug."""
    for kinds, convert in _rules():
        if isinstance(error, kinds):
            return convert(error, origin)
    return errors.BugError()


def from_set_up(error: Exception, origin: Origin) -> TaskgateError:
    """Convert a failure to make a client; botocore raises ValueError for an invalid endpoint."""
    if isinstance(error, CaBundleError):
        return _bad_ca_bundle(error, origin)
    return _bad_set_up(error, origin) if type(error) is ValueError else from_botocore(error, origin)


def _client_error(error: Any, origin: Origin) -> TaskgateError:
    return errors.from_aws(error.response, origin)


def _no_credentials(_: Any, origin: Origin) -> TaskgateError:
    return errors.CredentialsMissingError(
        origin,
        f"this server has no AWS credentials for {origin.title}: provide them in one of boto3's"
        " ways (environment, profile, role)",
    )


def _bad_set_up(_: Any, origin: Origin) -> TaskgateError:
    return errors.ConfigurationError(
        origin,
        f"this server is not set up for {origin.title}: check its region"
        f" (TASKGATE_AWS__{origin.service.upper()}__REGION or AWS_REGION) and endpoint",
    )


def _bad_ca_bundle(error: CaBundleError, origin: Origin) -> TaskgateError:
    return errors.ConfigurationError(
        origin,
        f"this server cannot verify {origin.title}: the CA bundle of {error.setting} cannot be used"
        f" ({error.fault}); correct its path, or unset it",
    )


def _invalid_params(*_: Any) -> TaskgateError:
    return errors.invalid_request({"": "violates a constraint of AWS's model"})


def _unreadable(_: Any, origin: Origin) -> TaskgateError:
    return errors.UnreadableResponseError(origin.operation)


def _incomplete(_: Any, origin: Origin) -> TaskgateError:
    return errors.ResponseTruncatedError(
        origin,
        f"the response of {origin.title} to {origin.operation} ended early; retry",
    )


def _unreachable(problem: str) -> Callable[[Any, Origin], TaskgateError]:
    def convert(_: Any, origin: Origin) -> TaskgateError:
        return errors.UnreachableError(
            origin,
            f"{origin.title} {problem}: check this server's region, endpoint and network",
            details=[errors.retry_info(1)],
        )

    return convert


Rules: TypeAlias = Sequence[
    tuple[tuple[type[Exception], ...], Callable[[Any, Origin], TaskgateError]]
]


def _rules() -> Rules:
    """Return the conversions of botocore's exceptions, whose import takes 0.2 s."""
    import botocore.exceptions as aws  # noqa: PLC0415
    import urllib3.exceptions  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    return (
        ((aws.ClientError,), _client_error),
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
            _no_credentials,
        ),
        (
            (
                aws.NoRegionError,
                aws.InvalidRegionError,
                aws.EndpointProviderError,
                aws.UnknownServiceError,
                aws.InvalidEndpointConfigurationError,
            ),
            _bad_set_up,
        ),
        ((aws.ParamValidationError,), _invalid_params),
        ((ResponseParserError,), _unreadable),
        ((aws.IncompleteReadError, aws.ResponseStreamingError), _incomplete),
        ((urllib3.exceptions.HTTPError,), _incomplete),  # botocore wraps none for an error's body
        ((aws.ReadTimeoutError,), _unreachable("does not respond in time")),
        ((aws.ConnectTimeoutError,), _unreachable("does not accept connections in time")),
        ((aws.ConnectionClosedError,), _unreachable("closed the connection")),
        ((aws.SSLError,), _unreachable("has a certificate that this server does not trust")),
        ((aws.HTTPClientError, aws.ConnectionError), _unreachable("cannot be reached")),
    )
