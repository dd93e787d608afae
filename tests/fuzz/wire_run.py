"""Runs a sample of the request and response cases against a real server."""

from __future__ import annotations

import time
from collections.abc import Iterable

import grpc

from taskgate_emulator import Emulator
from tests.fuzz import request_run, response_checks, wire
from tests.fuzz.findings import Findings, random_for, shortened
from tests.fuzz.inprocess import GrpcResponse, InProcessServer, Target
from tests.fuzz.request_cases import Case, RequestCases
from tests.fuzz.response_cases import ResponseCases
from tests.fuzz.response_checks import Mismatch
from tests.fuzz.response_run import describe, requests_for
from tests.fuzz.wire import Upstream
from tests.support.boto3_wire import HOST, Sent


class RequestsOverWire:
    """Sends the bytes of request cases to a server whose AWS is the emulator."""

    def __init__(self, server: InProcessServer, aws: Emulator, channel: grpc.Channel) -> None:
        self._server = server
        self._aws = aws
        self._channel = channel

    def run(self, indexes: Iterable[int]) -> Findings:
        """Run the cases of some indexes."""
        findings = Findings("requests over the wire")
        cases = RequestCases(self._server.targets)
        for index in indexes:
            case = cases.case(index, random_for(request_run.KIND, index))
            description = request_run.describe(index, case)
            started = time.perf_counter()
            try:
                outcome = self._one(case)
            except Mismatch as mismatch:
                outcome = "failed"
                findings.fail(f"{mismatch}", description)
            findings.counts[outcome] += 1
            findings.record_duration(time.perf_counter() - started, description[:200])
        return findings

    def _one(self, case: Case) -> str:
        target, log = case.target, self._server.log
        log.clear()
        response, sent = self._call(target, case.messages)
        requests = request_run.parsed(target, case.messages)
        if requests is None:
            return request_run.undecodable(response, sent)
        response_checks.check(response, log.bugs, log.leaks)
        return request_run.check_call(target, requests, response, sent)

    def _call(self, target: Target, messages: list[bytes]) -> tuple[GrpcResponse, list[Sent]]:
        canned = request_run.minimal_response(target)
        names = target.spec.name, target.operation.name
        self._aws.respond(*names, status=canned.status, body=canned.body)
        before = self._aws.requests[-1:]
        response = wire.call(self._channel, target, messages)
        recorded = self._aws.requests[-1:]
        if [id(each) for each in recorded] == [id(each) for each in before]:
            # No request was sent, so the canned response must not reach the next case.
            self._aws.discard(*names)
            return response, []
        latest = recorded[0]
        target_line = latest.raw_path + (f"?{latest.query}" if latest.query else "")
        headers = dict(latest.headers)
        return response, [
            Sent(
                method=latest.method,
                host=HOST,
                target=target_line,
                headers=headers,
                body=latest.body,
            )
        ]


def run_responses(
    server: InProcessServer, upstream: Upstream, channel: grpc.Channel, indexes: Iterable[int]
) -> Findings:
    """Run the cases of some indexes, with mutated HTTP as well."""
    findings = Findings("responses over the wire")
    cases = ResponseCases(server.targets)
    for index in indexes:
        random = random_for("answer", index)
        case = cases.case(index, random)
        # After rejected credentials, the next calls would wait for a new client.
        aws_response = wire.http(case.response, random, case.how)
        upstream.response = aws_response.replace(b"ExpiredToken", b"AnyOtherCode")
        description = f"{describe(index, case)} as {shortened(upstream.response, 300)}"
        started = time.perf_counter()
        server.log.clear()
        messages = [each.SerializeToString() for each in requests_for(case.target)]
        response = wire.call(channel, case.target, messages)
        outcome = response.code.name
        try:
            response_checks.check(response, server.log.bugs, server.log.leaks)
            if response.code is not grpc.StatusCode.OK:
                outcome += f" {_kind(response_checks.info_of(response).reason)}"
        except Mismatch as mismatch:
            outcome = "failed"
            findings.fail(f"{mismatch}", description)
        findings.counts[outcome] += 1
        findings.record_duration(time.perf_counter() - started, description[:200])
    return findings


def _kind(reason: str) -> str:
    return reason if reason.startswith("UPSTREAM_") else "an error of AWS's"
