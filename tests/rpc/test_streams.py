"""Payloads as streams: whole, in bounded chunks, in flat memory, and never a short success."""

from __future__ import annotations

import hashlib
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import grpc
import pytest
from botocore.config import Config

from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, Client, connect
from taskgate_emulator import Emulator
from tests.support.running_server import REGION, running_server, settings_for
from tests.support.seeds import seeded
from tests.support.server_process import running_process

STORE = "1234567890"
CHUNK = 256 * 1024
MIB = 1024 * 1024
BIG = 192 * MIB
MEMORY_BYTES = 32 * MIB
READ = omics_pb2.GetReadSetRequest(id=STORE, sequence_store_id=STORE, part_number=1)

Connection = Callable[[socket.socket], None]


@contextmanager
def http_server(serve: Connection) -> Iterator[str]:
    """Gives each connection to `serve`, in one thread, after its request's headers were read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                with connection:
                    if is_readable(connection):
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def is_readable(connection: socket.socket) -> bool:
    """Wait for a request's headers; return False if the connection sends none."""
    while True:
        data = connection.recv(65536, socket.MSG_PEEK)
        if b"\r\n\r\n" in data or not data:
            return bool(data)


def headers(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: r-1\r\nContent-Length: {length}\r\n\r\n".encode()


@contextmanager
def connected(url: str, **settings: object) -> Iterator[Client]:
    with running_server(settings_for(url, **settings)) as address, connect(str(address)) as client:
        yield client


def error_of(call: Callable[[], object]) -> CallError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return CallError.of(raised.value)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_download_arrives_whole_in_bounded_chunks(
    aws: Emulator, client: Client, size: int
) -> None:
    payload = seeded("payload", size).randbytes(size)
    aws.respond("omics", "GetReadSet", headers={"x-amzn-RequestId": "r-7"}, body=payload)
    stream: Any = client.omics.GetReadSet(READ, metadata=(("taskgate-report-source", "true"),))
    first, *rest = list(stream)
    assert not first.HasField("payload")
    assert b"".join(message.payload for message in rest) == payload
    assert all(len(message.payload) == CHUNK for message in rest[:-1])
    assert dict(stream.trailing_metadata())["taskgate-aws-request-id"] == "r-7"


def boto3_client(aws: Emulator) -> Any:
    config = Config(inject_host_prefix=False)
    return boto3.client("omics", endpoint_url=aws.endpoint_url, region_name=REGION, config=config)


def test_download_sends_what_boto3_sends(aws: Emulator, client: Client) -> None:
    aws.respond("omics", "GetReference", body=b"ACGT", times=2)
    answer = boto3_client(aws).get_reference(
        id=STORE, referenceStoreId=STORE, partNumber=2, range="bytes=0-3", file="SOURCE"
    )
    expected = aws.requests[-1]
    assert answer["payload"].read() == b"ACGT"
    request = omics_pb2.GetReferenceRequest(
        id=STORE,
        reference_store_id=STORE,
        part_number=2,
        range="bytes=0-3",
        file=omics_pb2.REFERENCE_FILE_SOURCE,
    )
    assert b"".join(message.payload for message in client.omics.GetReference(request)) == b"ACGT"
    sent = aws.requests[-1]
    assert (sent.method, sent.raw_path, sent.query) == (
        expected.method,
        expected.raw_path,
        expected.query,
    )
    assert sent.headers["range"] == expected.headers["range"]


def upload(payload: bytes, chunk: int = CHUNK) -> Iterator[omics_pb2.UploadReadSetPartRequest]:
    yield omics_pb2.UploadReadSetPartRequest(
        sequence_store_id=STORE,
        upload_id=STORE,
        part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
        part_number=1,
        payload=payload[:chunk],
    )
    for start in range(chunk, len(payload), chunk):
        yield omics_pb2.UploadReadSetPartRequest(payload=payload[start : start + chunk])


@pytest.mark.parametrize("size", [0, 1, 3 * CHUNK + 7])
def test_an_upload_sends_what_boto3_sends(aws: Emulator, client: Client, size: int) -> None:
    payload = seeded("payload", size).randbytes(size)
    aws.respond("omics", "UploadReadSetPart", body={"checksum": "abc"}, times=2)
    expected = boto3_client(aws).upload_read_set_part(
        sequenceStoreId=STORE, uploadId=STORE, partSource="SOURCE1", partNumber=1, payload=payload
    )
    by_boto3 = aws.requests[-1]
    answer = client.omics.UploadReadSetPart(upload(payload))
    sent = aws.requests[-1]
    assert answer.checksum == expected["checksum"]
    assert (sent.method, sent.raw_path) == (by_boto3.method, by_boto3.raw_path)
    # boto3 puts the query in its caller's order.
    assert sorted(sent.query.split("&")) == sorted(by_boto3.query.split("&"))
    assert sent.body == by_boto3.body == payload
    assert sent.headers["content-length"] == by_boto3.headers["content-length"]


def test_faults_of_an_upload(aws: Emulator, client: Client) -> None:
    before = aws.request_count
    error = error_of(lambda: client.omics.UploadReadSetPart(iter(())))
    assert "needs at least one message" in error.message

    bad = omics_pb2.UploadReadSetPartRequest(sequence_store_id="x", payload=b"A")
    error = error_of(lambda: client.omics.UploadReadSetPart(iter((bad,))))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    fields = {violation.field for violation in error.violations}
    assert fields == {"sequence_store_id", "upload_id", "part_source", "part_number"}

    twice = [*upload(b"A"), *upload(b"C")]
    error = error_of(lambda: client.omics.UploadReadSetPart(iter(twice)))
    assert "part_number: may be in the first message only" in error.message
    assert aws.request_count == before


def test_uploads_share_a_spool_and_one_caller_gets_half_of_it(aws: Emulator) -> None:
    aws.respond("omics", "UploadReadSetPart", body={"checksum": "abc"}, times=1000)
    limits = {"spool_max_bytes": 4000, "spool_memory_bytes": 0, "max_upload_bytes": 10_000}
    with connected(aws.endpoint_url, **limits) as client:
        release = threading.Event()

        def stalled(sent: threading.Event) -> Iterator[omics_pb2.UploadReadSetPartRequest]:
            yield from upload(b"A" * 1500, 500)
            sent.set()
            release.wait(10)

        def start() -> Any:
            sent = threading.Event()
            call: Any = client.omics.UploadReadSetPart.future(stalled(sent))
            assert sent.wait(10)
            return call

        stalls, refusals = [start()], list[CallError]()
        while not refusals:  # until the server has received what the stalled one has sent
            try:
                client.omics.UploadReadSetPart(upload(b"A" * 1500, 500), timeout=10)
            except grpc.RpcError as refused:
                refusals = [] if stalls[-1].done() else [CallError.of(refused)]
            if stalls[-1].done():  # it was the one that found no room
                stalls.append(start())

        [error] = refusals
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL")
        assert error.metadata["limit"] == "spool_max_bytes"
        assert error.retry_after_seconds

        release.set()
        assert stalls[-1].result(10).checksum
        assert client.omics.UploadReadSetPart(upload(b"A" * 1500, 500)).checksum, "it is free again"
    aws.discard("omics", "UploadReadSetPart")


def failed_upload(address: str) -> CallError:
    with connect(address) as client:
        return error_of(lambda: client.omics.UploadReadSetPart(upload(b"A" * 4 * CHUNK)))


def test_a_directory_that_vanishes_is_reported_to_callers(aws: Emulator, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    with running_process(aws, TMPDIR=str(spool), TASKGATE_SPOOL_MEMORY_BYTES="0") as server:
        address = str(server.line("listening")[0]["address"])
        server.line("AWS service ready")
        server.line("AWS service ready")
        spool.rmdir()
        error = failed_upload(address)
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "SPOOL_UNUSABLE",
        )
        assert "TMPDIR" in error.message
        assert str(tmp_path) not in error.message
        assert server.line("uploads cannot be stored")[0]["fault"] == "No such file or directory"

        spool.mkdir()
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (CHUNK, CHUNK))
        error = failed_upload(address)
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL")
        assert error.metadata["limit"] == "TMPDIR"
        assert error.retry_after_seconds


def test_a_directory_that_cannot_be_used_is_reported_at_startup(
    aws: Emulator, tmp_path: Path
) -> None:
    with running_process(aws, TMPDIR=str(tmp_path / "missing")) as server:
        assert "TMPDIR is missing" in str(server.line("uploads cannot be stored")[0]["fault"])


def test_an_upload_with_faults_is_refused_at_its_first_message(aws: Emulator) -> None:
    with connected(aws.endpoint_url) as client:
        release = threading.Event()

        def endless() -> Iterator[omics_pb2.UploadReadSetPartRequest]:
            yield omics_pb2.UploadReadSetPartRequest(payload=b"A")
            release.wait(10)

        error = error_of(lambda: client.omics.UploadReadSetPart(endless(), timeout=8))
        release.set()

        assert error.code is grpc.StatusCode.INVALID_ARGUMENT


def test_an_upload_past_the_limit_is_refused(aws: Emulator) -> None:
    with connected(aws.endpoint_url, max_upload_bytes=1000) as client:
        error = error_of(lambda: client.omics.UploadReadSetPart(upload(b"A" * 1001, 500)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message == "payload: is longer than the 1000 bytes that this server takes"


def test_an_error_before_the_stream(aws: Emulator, client: Client) -> None:
    aws.fail("omics", "GetReadSet", "RangeNotSatisfiableException")
    error = error_of(lambda: list(client.omics.GetReadSet(READ)))
    assert error.code is grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize("sent", [0, CHUNK, CHUNK + 5])
def test_a_body_that_is_cut_ends_in_an_error(sent: int) -> None:
    def cut(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(headers(10 * CHUNK) + b"A" * sent)

    with http_server(cut) as url, connected(url) as client:
        got: list[Any] = []

        def read() -> None:
            got.extend(client.omics.GetReadSet(READ))

        error = error_of(read)
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == "UPSTREAM_RESPONSE_TRUNCATED"
        assert sum(len(message.payload) for message in got) <= sent


def test_a_cancelled_stream_closes_the_connection_to_aws() -> None:
    closed = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(headers(10 * CHUNK) + b"A" * CHUNK)
        # Nothing more is sent: the server's read waits. It ends when the server goes away.
        if connection.recv(1) == b"":
            closed.set()

    with http_server(drip) as url, connected(url) as client:
        stream: Any = client.omics.GetReadSet(READ)
        next(stream)
        assert len(next(stream).payload) == CHUNK
        stream.cancel()
        assert closed.wait(5), "the connection to AWS stayed open"


def test_a_slow_reader_slows_the_read_from_aws() -> None:
    sent = 0
    paused = threading.Event()
    go_on = threading.Event()

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.settimeout(1)
        connection.sendall(headers(BIG))
        piece = memoryview(b"A" * MIB)
        while sent < BIG:
            try:
                sent += connection.send(piece[: BIG - sent])
            except TimeoutError:  # nothing was read for a second: all buffers are full
                paused.set()
                go_on.wait(20)
                connection.settimeout(None)

    with http_server(flood) as url, connected(url) as client:
        stream: Any = client.omics.GetReadSet(READ)
        next(stream)
        assert paused.wait(20), "a reader that takes nothing did not stop the sender"
        assert sent < BIG / 2
        go_on.set()
        assert sum(len(message.payload) for message in stream) == BIG


def peak_bytes(pid: int) -> int:
    """The most memory that the process has had, from the kernel."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123  # procfs
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_memory_stays_flat_in_both_directions() -> None:
    digest = hashlib.sha256()

    def serve(connection: socket.socket) -> None:
        request = connection.recv(65536)
        if request.startswith(b"GET"):
            connection.sendall(headers(BIG))
            for _ in range(BIG // MIB):
                connection.sendall(b"A" * MIB)
            return
        data = request.partition(b"\r\n\r\n")[2]
        left = BIG
        while True:
            digest.update(data)
            left -= len(data)
            if not left:
                break
            data = connection.recv(MIB)
            assert data, "the upload ended early"
        connection.sendall(headers(16) + b'{"checksum":"x"}')

    with http_server(serve) as url, running_process(None, **endpoints(url)) as server:
        address = server.line("listening")[0]["address"]
        server.line("AWS service ready")
        server.line("AWS service ready")
        with connect(address) as client:
            client.get_server_info()
            before = peak_bytes(server.process.pid)
            got = sum(len(message.payload) for message in client.omics.GetReadSet(READ))
            after_download = peak_bytes(server.process.pid)
            client.omics.UploadReadSetPart(upload(b"A" * BIG, MIB))
            after_upload = peak_bytes(server.process.pid)
    assert got == BIG
    assert digest.hexdigest() == hashlib.sha256(b"A" * BIG).hexdigest()
    assert after_download - before < MEMORY_BYTES
    assert after_upload - before < MEMORY_BYTES


def endpoints(url: str) -> dict[str, str]:
    return {f"TASKGATE_AWS__{name}__ENDPOINT_URL": url for name in ("DEADLINE", "OMICS")}


def declared(size: int | str) -> dict[str, Any]:
    return {"metadata": [("taskgate-payload-bytes", str(size))]}


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 7])
def test_an_upload_of_declared_length_is_not_stored(aws: Emulator, size: int) -> None:
    payload = seeded("payload", size).randbytes(size)
    aws.respond("omics", "UploadReadSetPart", body={"checksum": "abc"}, times=2)
    boto3_client(aws).upload_read_set_part(
        sequenceStoreId=STORE, uploadId=STORE, partSource="SOURCE1", partNumber=1, payload=payload
    )
    by_boto3 = aws.requests[-1]
    with connected(aws.endpoint_url, spool_max_bytes=1024, spool_memory_bytes=0) as client:
        answer = client.omics.UploadReadSetPart(upload(payload), **declared(size))
        assert answer.checksum == "abc"
        sent = aws.requests[-1]
        assert sent.body == by_boto3.body == payload
        assert sent.headers["content-length"] == by_boto3.headers["content-length"]
        if size > 1024:
            error = error_of(lambda: client.omics.UploadReadSetPart(upload(payload)))
            assert error.reason == "SPOOL_FULL", "without its length it is stored"


def test_an_upload_of_declared_length_is_passed_on_while_it_arrives() -> None:
    has_begun = threading.Event()
    received = bytearray()

    def serve(connection: socket.socket) -> None:
        while not received.endswith(b"C" * CHUNK):
            received.extend(connection.recv(65536))
            if b"A" * CHUNK in received:
                has_begun.set()
        connection.sendall(headers(2) + b"{}")

    def messages() -> Iterator[omics_pb2.UploadReadSetPartRequest]:
        yield from upload(b"A" * CHUNK + b"B" * CHUNK)
        assert has_begun.wait(10), "AWS gets nothing before the end"
        yield omics_pb2.UploadReadSetPartRequest(payload=b"C" * CHUNK)

    with http_server(serve) as url, connected(url) as client:
        client.omics.UploadReadSetPart(messages(), timeout=20, **declared(3 * CHUNK))
    assert received.count(b"A" * CHUNK + b"B" * CHUNK + b"C" * CHUNK) == 1


@pytest.mark.parametrize(("sent", "promised"), [(2 * CHUNK, 2 * CHUNK + 1), (2 * CHUNK, CHUNK)])
def test_an_upload_of_another_length_than_declared_is_refused(sent: int, promised: int) -> None:
    received = bytearray()

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            received.extend(data)

    with http_server(serve) as url, connected(url) as client:
        parts = upload(b"A" * sent)
        error = error_of(
            lambda: client.omics.UploadReadSetPart(parts, timeout=20, **declared(promised))
        )
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert f"has other than the {promised} bytes" in error.message
    assert len(received.partition(b"\r\n\r\n")[2]) < promised, "AWS has the whole body"


def test_aws_may_refuse_an_upload_before_its_end() -> None:
    body = b'{"message": "no"}'
    head = b"HTTP/1.1 403 Forbidden\r\nx-amzn-ErrorType: AccessDeniedException\r\n"

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        while connection.recv(65536):
            pass

    with http_server(serve) as url, connected(url) as client:
        error = error_of(
            lambda: client.omics.UploadReadSetPart(
                upload(b"A" * 8 * CHUNK), timeout=20, **declared(8 * CHUNK)
            )
        )
        assert error.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("size", ["", "-1", "1.5", "1e3", "9" * 19])
def test_a_declared_length_must_be_a_number(client: Client, size: str) -> None:
    error = error_of(lambda: client.omics.UploadReadSetPart(upload(b"A"), **declared(size)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "taskgate-payload-bytes" in error.message
