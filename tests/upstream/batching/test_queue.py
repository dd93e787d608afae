"""Natural batching, with calls that the test ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.batching.queue import (
    MAX_LINGERS,
    UNHURRIED_SENDERS,
    BatchQueue,
    Send,
)
from taskgate_server.upstream.in_flight import InFlightCall, Requesters, TaskSet
from taskgate_server.upstream.options import Priority, Share
from tests.support.event_loop import settle

SHARE = Share(Priority.INTERACTIVE, "alice")


def error(text: str) -> TaskgateError:
    return TaskgateError(code=StatusCode.NOT_FOUND, message=text, reason="TEST")


class Item(InFlightCall[int, str]):
    """A read with requesters."""

    def __init__(self, number: int) -> None:
        super().__init__(number, number, lambda: 0.0, lambda *_: None)
        self.number = number
        self.response: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: str | Exception) -> None:
        if isinstance(outcome, Exception):
            self.response.set_exception(outcome)
        elif not self.response.done():
            self.response.set_result(outcome)


class Upstream:
    """Records the batches sent; the test ends each."""

    max_items = 3

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.replies: list[asyncio.Future[Sequence[str | TaskgateError]]] = []
        self.lingered: list[float] = []
        self.arriving: list[Callable[[], None]] = []
        """What happens while batches linger, once each."""
        self.tasks = TaskSet()
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Exception | None = None

    async def send(self, items: Sequence[Any]) -> Sequence[str | TaskgateError]:
        self.batches.append([item.number for item in items])
        reply: asyncio.Future[Sequence[str | TaskgateError]]
        reply = asyncio.get_running_loop().create_future()
        self.replies.append(reply)
        return await reply

    async def admit(self, waiting: int, requesters: Requesters) -> tuple[int, Send]:
        assert waiting
        assert requesters.shares
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.max_items, self.send

    async def sleep(self, seconds: float) -> None:
        self.lingered.append(seconds)
        if self.arriving:
            self.arriving.pop(0)()
            await asyncio.sleep(0)  # the reads enter the queue

    def reply(self, index: int) -> None:
        self.replies[index].set_result([f"a{each}" for each in self.batches[index]])

    def queue(self, slots: int = 1, linger: float = 0.0) -> BatchQueue:
        return BatchQueue(
            self.admit,
            self.tasks,
            max_items=self.max_items,
            slots=lambda: slots,
            linger=linger,
            sleep=self.sleep,
        )


def start_reads(queue: BatchQueue, *numbers: int) -> list[asyncio.Task[str]]:
    async def wait(number: int) -> str:
        item = Item(number)
        item.requesters.join(SHARE, math.inf)
        queue.add(item)
        try:
            return await item.response
        finally:
            item.requesters.remove(SHARE)

    return [asyncio.create_task(wait(number)) for number in numbers]


async def test_the_first_read_is_sent_alone_and_the_next_ones_together() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    first = start_reads(queue, 1)
    await settle()
    more = start_reads(queue, 2, 3, 4, 5)
    await settle()
    assert upstream.batches == [[1]]
    assert len(queue) == 4
    upstream.reply(0)
    await settle()
    assert upstream.batches == [[1], [2, 3, 4]]
    upstream.reply(1)
    await settle()
    assert upstream.batches[2] == [5]
    upstream.reply(2)
    assert await asyncio.gather(*first, *more) == ["a1", "a2", "a3", "a4", "a5"]


async def test_no_more_calls_are_in_flight_than_there_are_slots() -> None:
    upstream = Upstream()
    queue = upstream.queue(slots=2)
    tasks = []
    for item in range(5):
        tasks += start_reads(queue, item)
        await settle()
    assert upstream.batches == [[0], [1]]
    upstream.reply(1)
    await settle()
    assert upstream.batches == [[0], [1], [2, 3, 4]]
    upstream.reply(0)
    upstream.reply(2)
    await asyncio.gather(*tasks)


async def test_it_lingers_under_load_only() -> None:
    upstream = Upstream()
    queue = upstream.queue(linger=0.002)
    first = start_reads(queue, 1)
    await settle()
    assert upstream.lingered == []
    second = start_reads(queue, 2)
    await settle()
    upstream.reply(0)
    await settle()
    assert upstream.lingered == [0.002]
    upstream.reply(1)
    await asyncio.gather(*first, *second)
    third = start_reads(queue, 3)
    await settle()
    assert upstream.lingered == [0.002], "it was idle in between"
    upstream.reply(2)
    await asyncio.gather(*third)


async def test_it_lingers_while_reads_keep_coming() -> None:
    upstream = Upstream()
    upstream.max_items = MAX_LINGERS * 2
    queue = upstream.queue(linger=0.005)
    tasks = start_reads(queue, 0)
    await settle()
    tasks += start_reads(queue, 1)
    await settle()
    upstream.arriving = [lambda: tasks.extend(start_reads(queue, 2))]
    upstream.reply(0)
    await settle()
    assert upstream.lingered == [0.005] * 2
    assert upstream.batches == [[0], [1, 2]]
    upstream.reply(1)
    await asyncio.gather(*tasks)


async def test_it_does_not_linger_for_ever() -> None:
    upstream = Upstream()
    upstream.max_items = MAX_LINGERS * 2
    queue = upstream.queue(linger=0.005)
    tasks = start_reads(queue, 0)
    await settle()
    numbers = range(1, 1 + MAX_LINGERS * 2)
    tasks += start_reads(queue, numbers[0])
    await settle()
    upstream.arriving = [
        partial(lambda number: tasks.extend(start_reads(queue, number)), number)
        for number in numbers[1:]
    ]
    upstream.reply(0)
    await settle()
    assert len(upstream.lingered) == MAX_LINGERS
    assert upstream.batches[1] == list(numbers[: MAX_LINGERS + 1])
    upstream.reply(1)
    await asyncio.gather(*tasks)


async def test_reads_gather_for_one_batch_at_a_time() -> None:
    upstream = Upstream()
    queue = upstream.queue(slots=2, linger=0.005)
    tasks = []
    for number in range(2):
        tasks += start_reads(queue, number)
        await settle()
    tasks += start_reads(queue, 2)
    await settle()
    upstream.arriving = [lambda: tasks.extend(start_reads(queue, 3))]
    upstream.reply(0)
    upstream.reply(1)
    await settle()
    assert upstream.batches == [[0], [1], [2, 3]]
    assert upstream.lingered == [0.005] * 2, "of one sender; the other one has nothing to send"
    upstream.reply(2)
    await asyncio.gather(*tasks)


async def test_reads_gather_while_many_batches_are_in_flight() -> None:
    upstream = Upstream()
    queue = upstream.queue(slots=UNHURRIED_SENDERS + 1, linger=0.005)
    tasks = []
    for number in range(UNHURRIED_SENDERS):
        tasks += start_reads(queue, number)
        await settle()
    assert upstream.lingered == []
    upstream.arriving = [lambda: tasks.extend(start_reads(queue, 11))]
    tasks += start_reads(queue, 10)
    await settle()
    assert upstream.batches == [[0], [1], [10, 11]]
    assert upstream.lingered
    for index in range(3):
        upstream.reply(index)
    await asyncio.gather(*tasks)


async def test_a_full_batch_does_not_linger() -> None:
    upstream = Upstream()
    queue = upstream.queue(linger=0.002)
    tasks = start_reads(queue, 1)
    await settle()
    tasks += start_reads(queue, 2, 3, 4)
    await settle()
    upstream.reply(0)
    await settle()
    upstream.reply(1)
    await asyncio.gather(*tasks)
    assert upstream.lingered == []


async def test_an_error_of_one_item_does_not_affect_others() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    tasks = start_reads(queue, 1, 2)
    await settle()
    upstream.replies[0].set_result(["a1", error("no such task")])
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == "a1"
    assert "no such task" in str(results[1])


async def test_a_failed_batch_fails_its_reads_and_no_others() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    tasks = start_reads(queue, 1, 2)
    await settle()
    upstream.replies[0].set_exception(error("throttled"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert ["throttled" in str(result) for result in results] == [True, True]
    later = start_reads(queue, 3)
    await settle()
    upstream.reply(1)
    assert await later[0] == "a3"


async def test_an_abandoned_read_is_not_sent() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    tasks = start_reads(queue, 1)
    await settle()
    tasks += start_reads(queue, 2, 3)
    await settle()
    tasks[1].cancel()
    await settle()
    upstream.reply(0)
    await settle()
    assert upstream.batches == [[1], [3]]
    upstream.reply(1)
    await asyncio.gather(tasks[0], tasks[2])


async def test_reads_gather_while_they_wait_for_the_quota() -> None:
    upstream = Upstream()
    upstream.gate.clear()
    queue = upstream.queue()
    tasks = start_reads(queue, 1)
    await settle()
    tasks += start_reads(queue, 2)
    await settle()
    upstream.gate.set()
    await settle()
    assert upstream.batches == [[1, 2]]
    upstream.reply(0)
    await asyncio.gather(*tasks)


async def test_a_refusal_reaches_requesters_at_once() -> None:
    upstream = Upstream()
    upstream.refusal = error("over the quota")
    queue = upstream.queue()
    with pytest.raises(TaskgateError, match="over the quota"):
        await start_reads(queue, 1)[0]
    upstream.refusal = None
    task = start_reads(queue, 2)
    await settle()
    upstream.reply(0)
    assert await task[0] == "a2"


async def test_any_error_of_admission_reaches_requesters() -> None:
    upstream = Upstream()
    upstream.refusal = ZeroDivisionError()
    queue = upstream.queue()
    for reads in (start_reads(queue, 1), start_reads(queue, 2)):
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(reads[0], 10)


async def test_too_few_results_are_an_error_of_each_read() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    first = start_reads(queue, 1)
    await settle()
    rest = start_reads(queue, 2, 3)
    upstream.reply(0)
    await asyncio.gather(*first)
    await settle()
    upstream.replies[1].set_result(["a2"])
    for read in rest:
        with pytest.raises(RuntimeError, match="1 results for 2 reads"):
            await asyncio.wait_for(read, 10)


class Broken(Item):
    """A read whose outcome cannot be delivered."""

    def settle(self, outcome: str | Exception) -> None:
        raise ZeroDivisionError(outcome)


@pytest.mark.bug
async def test_a_read_that_cannot_be_settled_does_not_affect_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream = Upstream()
    queue = upstream.queue()
    broken, sound = Broken(1), Item(2)
    first = start_reads(queue, 0)
    await settle()
    for item in (broken, sound):
        item.requesters.join(SHARE, math.inf)
        queue.add(item)
    upstream.reply(0)
    await asyncio.gather(*first)
    await settle()
    upstream.reply(1)
    assert await asyncio.wait_for(sound.response, 10) == "a2"
    assert [each.message for each in caplog.records] == ["bug"]


def queued(number: int) -> Item:
    """Return a read that one requester waits for."""
    read = Item(number)
    read.requesters.join(SHARE, math.inf)
    return read


async def test_batches_that_end_together_do_not_leave_a_read_behind() -> None:
    """There were slots for two batches, then for one: only one of the two senders may stop."""
    upstream, slots = Upstream(), [2]
    queue = BatchQueue(
        upstream.admit,
        upstream.tasks,
        max_items=1,
        slots=lambda: slots[0],
        linger=0.0,
        sleep=upstream.sleep,
    )
    upstream.max_items = 1
    for number in range(3):
        queue.add(queued(number))
    await settle()
    assert upstream.batches == [[0], [1]]

    slots[0] = 1
    upstream.reply(0)
    upstream.reply(1)
    await settle()

    assert upstream.batches == [[0], [1], [2]]
    await upstream.tasks.close()


async def test_a_read_added_while_the_last_sender_stops_is_sent() -> None:
    upstream = Upstream()
    queue = upstream.queue()
    first, second = queued(0), queued(1)
    # Runs right after the sender has seen an empty queue, before the loop reports its end.
    first.response.add_done_callback(lambda _: queue.add(second))
    queue.add(first)
    await settle()
    upstream.reply(0)
    await settle()

    assert upstream.batches == [[0], [1]]
    await upstream.tasks.close()
