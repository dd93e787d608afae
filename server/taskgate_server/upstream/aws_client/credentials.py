"""The server's AWS credentials: where they come from, and how they are renewed off the event loop.

boto3 finds them (environment, profile, role). Temporary ones are renewed in a thread before they
expire, while calls continue with the present ones; a call without valid ones waits for the renewal.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import botocore.credentials
import botocore.session
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)

from taskgate_server.aws.model_files import share_files
from taskgate_server.config import AwsSettings

ROLE_PROVIDER: Final = "assume-role"
"""botocore's name for the source of such credentials."""

MANDATORY_SECONDS: Final = 600
"""Calls wait for the renewal of credentials that expire sooner, as botocore's own do
(`RefreshableCredentials._mandatory_refresh_timeout`)."""

PAUSE_SECONDS: Final = 10.0
"""Between failed renewals of credentials that are still valid for longer."""


class HeldCredentials(Credentials):
    """Credentials whose present values boto3 signs with, without waiting.

    Args:
        source: botocore's credentials; reading them may call AWS.
        executor: for the thread that renews them.
        clock: monotonic seconds.

    Attributes:
        account_id: AWS account; None if it is unknown.

    Raises:
        Exception: botocore's errors, if they cannot be read.
    """

    def __init__(  # the base class would copy the values
        self,
        source: Credentials,
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._executor = executor
        self._clock = clock
        self._renewal: asyncio.Task[None] | None = None
        self._paused_until = -math.inf
        self._frozen = source.get_frozen_credentials()
        self.method = source.method
        self.account_id = _account_of(source)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the present values; called by botocore for each signature."""
        return self._frozen

    async def renew(self) -> None:
        """Start to renew credentials that expire soon, and wait for it if that is very soon.

        Raises:
            Exception: botocore's errors; the credentials are about to expire.
        """
        source = self._source
        if not isinstance(source, RefreshableCredentials) or not source.refresh_needed():
            return
        must_wait = source.refresh_needed(MANDATORY_SECONDS)
        if self._renewal is None and (must_wait or self._clock() >= self._paused_until):
            self._renewal = asyncio.ensure_future(self._renew())
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        if must_wait and self._renewal is not None:
            await asyncio.shield(self._renewal)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # It logs and ignores a failure unless the credentials expire very soon.
            self._frozen = await loop.run_in_executor(
                self._executor, self._source.get_frozen_credentials
            )
        finally:
            self._paused_until = self._clock() + PAUSE_SECONDS
            self._renewal = None


def hold_credentials(
    session: botocore.session.Session, settings: AwsSettings, executor: Executor
) -> HeldCredentials:
    """Find the credentials of a session's clients, and give them to it.

    Raises:
        Exception: botocore's errors, NoCredentialsError if there are none.
    """
    if settings.role_arn is not None:
        source: Credentials | None = _role_credentials(settings.role_arn, settings)
    else:
        source = session.get_component("credential_provider").load_credentials()
    if source is None:
        raise NoCredentialsError
    held = HeldCredentials(source, executor)
    session.register_component(
        "credential_provider", SimpleNamespace(load_credentials=lambda: held)
    )
    return held


def _role_credentials(role_arn: str, settings: AwsSettings) -> Credentials:
    """Return the credentials of a role.

    Raises:
        Exception: botocore's errors, CredentialRetrievalError if AWS STS refuses.
    """
    session = botocore.session.get_session()
    share_files(session)
    own = session.get_credentials()
    if own is None:
        raise NoCredentialsError
    more = {"ExternalId": settings.role_external_id} if settings.role_external_id else {}
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=partial(
            session.create_client,
            region_name=region_of(settings),
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

    return botocore.credentials.DeferredRefreshableCredentials(fetch, ROLE_PROVIDER)


def region_of(settings: AwsSettings) -> str | None:
    """Return the region of calls; None if only boto3 can know it."""
    # Every AWS SDK but boto3 reads AWS_REGION, and EKS and Lambda set it:
    # https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    return settings.region or os.environ.get("AWS_REGION")


def _account_of(credentials: Credentials) -> str | None:
    """Return the account of credentials without calling AWS; None if they do not have it."""
    # The property of refreshable credentials may call AWS to refresh them.
    name = "_account_id" if isinstance(credentials, RefreshableCredentials) else "account_id"
    account: str | None = getattr(credentials, name, None)
    return account
