"""A sample of the requests and answers, asked of a real server."""

from __future__ import annotations

import time
from collections.abc import Iterable

import grpc

from taskgate_emulator import Emulator
from tests.fuzz import replies, request_run, wire
from tests.fuzz.answer_cases import AnswerCases
from tests.fuzz.answer_run import describe, requests_of
from tests.fuzz.findings import Findings, random_of, shortened
from tests.fuzz.inprocess import Bench, Reply, Sent, Target
from tests.fuzz.replies import Unlike
from tests.fuzz.request_cases import Case, RequestCases
from tests.fuzz.wire import Upstream


class RequestsOverWire:
    """Sends the bytes of request cases to a server whose AWS is the emulator."""

    def __init__(self, bench: Bench, aws: Emulator, channel: grpc.Channel) -> None:
        self._bench = bench
        self._aws = aws
        self._channel = channel

    def run(self, indexes: Iterable[int]) -> Findings:
        """The cases of these indexes."""
        findings = Findings("requests over the wire")
        cases = RequestCases(self._bench.targets)
        for index in indexes:
            case = cases.case(index, random_of(request_run.KIND, index))
            told = request_run.describe(index, case)
            started = time.perf_counter()
            try:
                outcome = self._one(case)
            except Unlike as unlike:
                outcome = "failed"
                findings.fail(f"{unlike}", told)
            findings.counts[outcome] += 1
            findings.took(time.perf_counter() - started, told[:200])
        return findings

    def _one(self, case: Case) -> str:
        target, log = case.target, self._bench.log
        log.clear()
        reply, sent = self._ask(target, case.messages)
        requests = request_run.parsed(target, case.messages)
        if requests is None:
            return request_run.undecodable(reply, sent)
        replies.check(reply, log.bugs, log.leaks)
        return request_run.judge(target, requests, reply, sent)

    def _ask(self, target: Target, messages: list[bytes]) -> tuple[Reply, list[Sent]]:
        answer = request_run.plain_answer(target)
        names = target.spec.name, target.operation.name
        self._aws.respond(*names, status=answer.status, body=answer.body)
        before = self._aws.requests[-1:]
        reply = wire.ask(self._channel, target, messages)
        recorded = self._aws.requests[-1:]
        if [id(each) for each in recorded] == [id(each) for each in before]:
            # It still waits for a request, and may not be found by the next case.
            self._aws.discard(*names)
            return reply, []
        latest = recorded[0]
        target_line = latest.raw_path + (f"?{latest.query}" if latest.query else "")
        headers = dict(latest.headers)
        return reply, [
            Sent(method=latest.method, target=target_line, headers=headers, body=latest.body)
        ]


def run_answers(
    bench: Bench, upstream: Upstream, channel: grpc.Channel, indexes: Iterable[int]
) -> Findings:
    """The cases of these indexes, with HTTP itself spoilt as well."""
    findings = Findings("answers over the wire")
    cases = AnswerCases(bench.targets)
    for index in indexes:
        random = random_of("answer", index)
        case = cases.case(index, random)
        # After credentials were refused, the next calls would wait for a new client.
        answer = wire.http(case.answer, random, case.how)
        upstream.answer = answer.replace(b"ExpiredToken", b"AnyOtherCode")
        told = f"{describe(index, case)} as {shortened(upstream.answer, 300)}"
        started = time.perf_counter()
        bench.log.clear()
        messages = [each.SerializeToString() for each in requests_of(case.target)]
        reply = wire.ask(channel, case.target, messages)
        outcome = reply.code.name
        try:
            replies.check(reply, bench.log.bugs, bench.log.leaks)
            if reply.code is not grpc.StatusCode.OK:
                outcome += f" {_kind(replies.info_of(reply).reason)}"
        except Unlike as unlike:
            outcome = "failed"
            findings.fail(f"{unlike}", told)
        findings.counts[outcome] += 1
        findings.took(time.perf_counter() - started, told[:200])
    return findings


def _kind(reason: str) -> str:
    return reason if reason.startswith("UPSTREAM_") else "an error of AWS's"
