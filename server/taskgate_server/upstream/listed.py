"""Reads of one thing each out of the list that has them all, where the list tells enough.

HealthOmics has no operation for many tasks, but allows as many calls for a list of 100 of a run's
tasks as for one of them. A caller who says which fields it needs may be answered by a row of the
list. `ServiceSpec.lists` says which operation lists what; the rest is in AWS's model.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.request import Read
from taskgate_server.upstream.requesters import Requesters

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from collections.abc import Iterator

    from taskgate_server.aws.paging import PagedOperation

Params: TypeAlias = Mapping[str, Any]

LISTS_REMEMBERED: Final = 1000
"""Of how many parents it is known how many pages their lists have."""

REFUSALS: Final = frozenset(
    {StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNKNOWN}
)
"""What is no answer for a single read: a policy may allow that and not the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlan:
    """How a list stands in for an operation that reads one of its rows."""

    paged: PagedOperation
    item: str
    """The member that tells one row from another: what the single operation takes, and not the
    list."""
    fields: frozenset[str]
    """The fields of the single operation's response that a row tells."""

    def parent(self, params: Params) -> dict[str, Any]:
        """What is listed, for the parameters of the single operation."""
        return {member: value for member, value in params.items() if member != self.item}

    def key(self, params: Params) -> Hashable:
        """Equal for the parameters of things in the same list, and for no others."""
        return (self.paged.operation, frozenset(self.parent(params).items()))


class Lists:
    """Decides between lists and single reads, and reads lists.

    Args:
        sender: of the AWS service.
    """

    def __init__(self, sender: UpstreamPipeline) -> None:
        self._sender = sender
        self._pages: OrderedDict[Hashable, int] = OrderedDict()
        """How many pages a list had, when last read."""
        self._single: Counter[Hashable] = Counter()
        """How many single reads are on their way of things that are in one list."""
        self.reads = 0
        """Lists read, for metrics."""

    def is_cheaper(self, key: Hashable) -> bool:
        """Whether to read the list rather than one more single thing in it.

        A list that nobody has read has one page, until the contrary is known.
        """
        return self._single[key] + 1 >= self._pages.get(key, 1)

    @contextmanager
    def reading_singly(self, key: Hashable) -> Iterator[None]:
        """Around a single read."""
        self._single[key] += 1
        try:
            yield
        finally:
            self._single[key] -= 1
            if not self._single[key]:
                del self._single[key]

    async def read(self, read: Read, plan: ListPlan) -> AwsResponse:
        """The whole list; its answer's value are the rows by item.

        Raises:
            errors.TaskgateError: as AWS answers.
        """
        rows: dict[str, Any] = {}
        self.reads += 1
        parent, token, pages, size = plan.parent(read.aws_request.params), "", 0, 0

        def sent() -> None:
            if read.sent_at is None:  # the list is as old as its first page
                read.mark_sent()

        with closing(Requesters.merge([read.requesters], sent)) as requesters:
            while True:
                response = await self._sender.send(
                    plan.paged.operation,
                    {**parent, **plan.paged.params(token, plan.paged.max_size)},
                    requesters,
                    repeatable=True,
                )
                page = plan.paged.read(response.value)
                pages, size, token = pages + 1, size + response.size, page.next_token
                rows |= {str(row.get(plan.item)): row for row in page.rows}
                if not token:
                    break
        self._pages[read.key] = pages
        if len(self._pages) > LISTS_REMEMBERED:
            self._pages.popitem(last=False)
        response.value, response.size = rows, size
        return response


def plan_list(operation: Any, paged: PagedOperation, field_names: Mapping[str, str]) -> ListPlan:
    """How a list stands in for an operation.

    Args:
        operation: the single one, botocore's OperationModel.
        paged: the one that lists.
        field_names: members of the single operation's answer -> fields of its response.

    Raises:
        ValueError: it cannot.
    """
    members = operation.input_shape.members if operation.input_shape else {}
    items = [member for member in members if member not in paged.inputs]
    if len(items) != 1 or items[0] not in paged.members:
        raise ValueError(f"{paged.operation} does not list what {operation.name} reads")
    told: Collection[str] = paged.members
    return ListPlan(
        paged=paged,
        item=items[0],
        fields=frozenset(name for member, name in field_names.items() if member in told),
    )


def is_refusal(error: errors.TaskgateError) -> bool:
    """Whether the error of a list says nothing of the things in it."""
    return error.code in REFUSALS


def row_answer(response: AwsResponse, row: dict[str, Any]) -> AwsResponse:
    """Return a row of a list as the response of a read of its own."""
    return AwsResponse(
        value=row,
        request_id=response.request_id,
        observe_time=response.observe_time,
        size=response.size // len(response.value),
        span=response.span,
    )
