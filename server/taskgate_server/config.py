"""All settings of the server in one frozen object, read once at start.

Their sources are `TASKGATE_*` environment variables and a TOML file (`taskgate serve --config
FILE`, or `TASKGATE_CONFIG_FILE`); the environment takes precedence. Nothing else in the server
reads the environment, except for AWS's own variables (credentials, AWS_REGION).
docs/configuration.md lists the same settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import pydantic_settings
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from taskgate_server.aws_config import AwsSettings, Seconds, TargetSettings

__all__ = ["AwsSettings", "Settings", "SettingsError", "TargetSettings", "load_settings"]

CONFIG_FILE_VARIABLE: Final = "TASKGATE_CONFIG_FILE"
COMMAND_LINE_VARIABLES: Final = frozenset(
    f"TASKGATE_{name}"
    for name in (
        *("ADDRESS", "TARGET", "TLS", "CA_FILE", "CERT_FILE", "KEY_FILE"),
        *("SERVER_NAME", "TOKEN_FILE", "CONSOLE"),
    )
)
"""Variables of the commands that call a server; they are not settings."""

PlaintextPhrase = Literal["I understand that anyone on the network can read and make calls"]
PLAINTEXT_PHRASE: Final[str] = get_args(PlaintextPhrase)[0]


def _without_brackets(host: str) -> str:
    """Return an IPv6 address without the brackets that it has in URLs."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _with_absolute_path(host: str) -> str:
    """Return an address; raise ValueError for a Unix socket with a relative path."""
    if host.startswith("unix:") and not host.startswith("unix:/"):
        raise ValueError("a Unix socket needs an absolute path, such as unix:/run/taskgate.sock")
    return host


Host = Annotated[str, AfterValidator(_without_brackets)]
ListenHost = Annotated[Host, AfterValidator(_with_absolute_path)]
TracesEndpoint = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#@]+$")]
KeysSource = Annotated[str, StringConstraints(pattern=r"^(https?://[^/?#]+|[^:]+$)")]
# No symmetric algorithms: the key that verifies tokens could also sign them.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
TARGET_NAME: Final = r"[a-z][a-z0-9_-]{0,62}"
TargetName = Annotated[str, StringConstraints(pattern=rf"^{TARGET_NAME}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """All settings, with their defaults."""

    model_config = SettingsConfigDict(
        env_prefix="TASKGATE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    listen_host: ListenHost = Field(
        "127.0.0.1",
        description="Address to listen on, or `unix:/run/taskgate.sock` for a Unix socket. The"
        " default is reachable from this machine only; other addresses need TLS, see security.md.",
    )
    listen_port: Port = Field(50051, description="Port to listen on; 0 selects a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that share the port, see operations.md. Each uses an equal part of"
        " AWS's quotas.",
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="The server's certificate chain in PEM. Files are reloaded when they change.",
    )
    tls_key_file: Path | None = Field(
        None, description="The private key of the certificate in PEM."
    )
    tls_client_ca_file: Path | None = Field(
        None,
        description="Certificate authorities in PEM. Each caller must then have a certificate"
        " issued by one of them, which identifies it.",
    )
    plaintext_to_everyone: PlaintextPhrase | None = Field(
        None,
        description=f"Set to `{PLAINTEXT_PHRASE}` to let other machines call without TLS.",
    )
    health_host: Host | None = Field(
        None,
        description="Address of `health_port`. Unset: `listen_host`, or 127.0.0.1 with a Unix"
        " socket.",
    )
    health_port: Port | None = Field(
        None,
        description="Plaintext port that serves only grpc.health.v1, for probes without TLS."
        " Unset: none.",
    )
    admin_host: Host = Field(
        "127.0.0.1",
        description="Address of `admin_port`, which is plaintext. It reports methods and numbers,"
        " but no values of callers.",
    )
    admin_port: Port | None = Field(
        None,
        description="Port for `/metrics` over HTTP, see operations.md; 9464 is common, 0 selects a"
        " free one. Unset: no port and no metrics.",
    )
    http_host: Host | None = Field(
        None,
        description="Address of `http_port`. Unset: `listen_host`, or 127.0.0.1 with a Unix"
        " socket.",
    )
    http_port: Port | None = Field(
        None,
        description="Port for Connect (JSON and protobuf) and gRPC-Web over HTTP, and for the web"
        " console, see http.md; 8080 is common, 0 selects a free one. It has the same TLS, tokens"
        " and policy as `listen_port`. Unset: none. Needs `taskgate[http]`.",
    )
    http_allowed_origins: tuple[Origin, ...] = Field(
        (),
        description="Origins whose web pages may call `http_port`, such as"
        ' `["https://status.example.com"]`. None: only pages of the server itself.',
    )
    console_enabled: bool = Field(
        True,  # noqa: FBT003  # pydantic's signature
        description="Whether `http_port` serves the web console at `/`.",
    )
    traces_endpoint: TracesEndpoint | None = Field(
        None,
        description="OpenTelemetry collector that receives traces by OTLP over HTTP, such as"
        " `http://collector:4318/v1/traces`. Unset: no traces. Needs `taskgate[traces]`.",
    )
    traces_headers_file: Path | None = Field(
        None,
        description="File with headers for the collector, such as a token: one `name: value` per"
        " line.",
    )
    traces_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Fraction of the traces started by this server that are sampled. A caller"
        " decides for its own traces, up to 10 traces per second.",
    )
    jwt_issuer: str | None = Field(
        None,
        description="Issuer (`iss`) of the tokens that authenticate callers. Unset: tokens are"
        " ignored.",
    )
    jwt_audience: str | None = Field(
        None, description="Audience (`aud`) that tokens must have. Required with `jwt_issuer`."
    )
    jwt_keys: KeysSource | None = Field(
        None,
        description="The issuer's JSON Web Key Set: a file or a URL (`https://`). Required with"
        " `jwt_issuer`.",
    )
    jwt_keys_token_file: Path | None = Field(
        None,
        description="File with a token for that URL, such as that of a Kubernetes service account;"
        " read at each fetch, and not sent after a redirect. Unset: none.",
    )
    jwt_keys_ca_file: Path | None = Field(
        None,
        description="Certificate authorities in PEM for that URL. Unset: those of the system.",
    )
    jwt_algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "ES256"), min_length=1, description="Accepted signature algorithms of tokens."
    )
    jwt_leeway_seconds: float = Field(
        30.0,
        ge=0,
        le=300,
        description="Accepted difference between the clocks of issuer and server.",
    )
    jwt_groups_claim: str = Field(
        "groups",
        description="Claim with the caller's groups; a dot separates the names of nested objects.",
    )
    policy_files: tuple[Path, ...] = Field(
        (),
        description="Cedar policies, see security.md. None: authenticated callers may read.",
    )
    caller_calls_per_second: float = Field(
        5000.0, gt=0, description="Calls that one caller may start per second."
    )
    caller_concurrent_calls: int = Field(
        2000, ge=1, description="Calls that one caller may have in flight."
    )
    caller_streams: int = Field(
        1000, ge=1, description="Streams (watches, logs) that one caller may have open."
    )
    caller_request_bytes_per_second: float = Field(
        32 * 1024 * 1024,
        gt=0,
        description="Bytes of requests that one caller may send per second, without uploads. A"
        " larger request is served, but delays the caller's next calls: they are refused"
        " meanwhile.",
    )
    services: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description='AWS services to serve, such as `["deadline"]`. Unset: all installed ones.',
    )
    aws: dict[str, AwsSettings] = Field(
        default_factory=dict, description="A table for each AWS service: deadline, omics."
    )
    targets: dict[TargetName, TargetSettings] = Field(
        default_factory=dict,
        description="A table for each further AWS account or region, by the name that callers use.",
    )
    default_time_limit_seconds: Seconds = Field(
        60.0, description="Time limit of calls without a deadline."
    )
    drain_grace_seconds: float | None = Field(
        None,
        ge=0,
        le=3600,
        description="How long new calls are accepted after SIGTERM, while health reports"
        " NOT_SERVING and load balancers switch to other servers. Unset: 5, or 0 on loopback.",
    )
    drain_seconds: Seconds = Field(
        20.0, description="How long in-flight calls may take to end after that."
    )
    max_connection_age_seconds: Seconds | None = Field(
        None,
        description="Age at which a connection accepts no more calls, so that callers balance"
        " again; varied at random by up to a tenth. Unset: unlimited.",
    )
    max_connection_age_grace_seconds: Seconds = Field(
        300.0, description="How long calls on such a connection may take to end."
    )
    max_connection_idle_seconds: Seconds = Field(
        600.0, description="Time after which a connection without calls is closed."
    )
    keepalive_seconds: Seconds = Field(
        30.0, description="Time without data after which the server pings a client."
    )
    keepalive_timeout_seconds: Seconds = Field(
        10.0, description="How long a client may take to respond before its connection is closed."
    )
    min_ping_seconds: Seconds = Field(
        10.0, description="Shortest interval between the pings of a client, with or without calls."
    )
    max_streams_per_connection: int = Field(
        10_000,
        ge=1,
        le=100_000,
        description="In-flight calls on one connection. Clients queue further ones, but a larger"
        " burst on a new connection may fail with UNAVAILABLE.",
    )
    max_connections_per_address: int = Field(
        1000,
        ge=1,
        description="Connections of one address (IPv6: of one /64 network) to each worker. Further"
        " ones are closed within two seconds. Raise it for a proxy with many connections.",
    )
    max_connections: int = Field(
        10_000, ge=1, description="Connections of all addresses to each worker."
    )
    request_idle_seconds: Seconds = Field(
        60.0,
        description="How long a caller may take to send the next message of a streamed request,"
        " such as an upload.",
    )
    stream_expiry_grace_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="How long a stream stays open after its caller's token has expired, beyond"
        " `jwt_leeway_seconds`. It then ends with UNAVAILABLE, and clients reconnect.",
    )
    default_max_age_seconds: float = Field(
        1.0, ge=0, le=60, description="Maximum age of a response if the caller does not set one."
    )
    cache_max_entries: int = Field(
        10_000, ge=0, description="Responses cached for each AWS service."
    )
    cache_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        description="Estimated memory for cached responses of each AWS service.",
    )
    max_request_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, description="Largest request message accepted."
    )
    max_response_bytes: int = Field(
        3584 * 1024,
        ge=64 * 1024,
        description="Largest response of a list or batch. gRPC clients accept 4 MiB by default.",
    )
    stream_chunk_bytes: int = Field(
        256 * 1024,
        ge=1024,
        le=2 * 1024 * 1024,
        description="Payload per message of a stream to a caller.",
    )
    spool_memory_bytes: int = Field(
        1024 * 1024,
        ge=0,
        description="Part of an upload that is held in memory; the rest goes to a temporary file"
        " in `TMPDIR`.",
    )
    spool_max_bytes: int = Field(
        8 * 1024**3,
        ge=1024,
        description="Total size of the uploads in progress; one caller may use half of it. Each"
        " worker has an equal part.",
    )
    max_upload_bytes: int = Field(4 * 1024**3, ge=1, description="Largest upload accepted.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged. INFO has one line for each call."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Format of the log: `json`, or `text` for people. `auto` is `text` on a"
        " terminal and `json` elsewhere.",
    )

    def hosts(self) -> dict[str, str]:
        """Return the addresses that serve calls, by the names of their settings."""
        hosts = {"listen_host": self.listen_host}
        if self.http_port is not None:
            beside = "127.0.0.1" if self.listen_host.startswith("unix:") else self.listen_host
            hosts["http_host"] = self.http_host or beside
        return hosts

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order of precedence: arguments, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class SettingsError(Exception):
    """The settings cannot be used; `faults` has one line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load_settings(config_file: Path | None = None, **arguments: Any) -> Settings:
    """Return the settings from arguments, environment and file, in order of precedence.

    Raises:
        SettingsError: some cannot be used; it has all faults, but no values, which may be secrets.
    """
    kind: type[Settings] = Settings
    if config_file is not None:
        if not config_file.is_file():
            raise SettingsError([f"{config_file}: settings file not found"])
        options = SettingsConfigDict(toml_file=config_file)
        kind = type("Settings", (Settings,), {"model_config": options, "__module__": __name__})
    try:
        return kind(**arguments)
    except ValidationError as error:
        raise SettingsError([_fault(item["loc"], item["msg"]) for item in error.errors()]) from None
    except pydantic_settings.SettingsError as error:
        raise SettingsError([str(error)]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{config_file}: {error}"]) from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that look like settings but are not, for a warning at start.

    They are no errors, since Kubernetes makes such names for a Service called `taskgate`:
    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    known = {f"TASKGATE_{name}".upper() for name in Settings.model_fields}
    known |= {CONFIG_FILE_VARIABLE, *COMMAND_LINE_VARIABLES}
    return sorted(
        name
        for name in environ
        if name.startswith("TASKGATE_")
        and name.partition("__")[0] not in known
        and not name.startswith(("TASKGATE_SERVICE_", "TASKGATE_PORT"))
    )


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in location)
    variable = "TASKGATE_" + "__".join(str(part) for part in location).upper()
    return f"{name} ({variable}): {message}"
