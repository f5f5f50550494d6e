"""A proxy in front of the emulator that breaks what it is told to break.

A request is known by its label, for example `sqs.ReceiveMessage`, `dynamodb.PutItem` or `s3.PUT /bucket/key?query`,
followed by the request's body for SQS and DynamoDB. Faults are told by a regular expression that is searched in it.
"""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "date", "server"}
SERVICES = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}
LONGEST_HOLD = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the proxy says itself."""

    status: int
    body: bytes
    content_type: str


SLOW_DOWN = Answer(
    503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", "application/xml"
)
FORBIDDEN = Answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", "application/xml")
CONFLICT = Answer(
    409,
    b"<Error><Code>ConditionalRequestConflict</Code><Message>A conflicting operation occurred.</Message></Error>",
    "application/xml",
)


def json_error(status: int, code: str, **more: object) -> Answer:
    """Return an error as SQS and DynamoDB write them. `more` are further members of it."""
    body = json.dumps({"__type": code, "message": "injected", **more})
    return Answer(status, body.encode(), "application/x-amz-json-1.0")


def xml_error(status: int, code: str) -> Answer:
    """Return an error as S3 writes them; where it was asked with HEAD, its body is left out."""
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
    return Answer(status, body.encode(), "application/xml")


def cancelled(*codes: str) -> Answer:
    """Return a cancelled transaction, with a reason for each of its items."""
    return json_error(
        400,
        "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        CancellationReasons=[{"Code": code} for code in codes],
    )


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with the requests that match, `times` times (None: until the proxy is mended)."""

    matches: re.Pattern[str]
    times: int | None
    answer: Answer | None = None
    forwarded: bool = False
    """Whether the request is passed on before it goes wrong."""
    held: bool = False
    """Whether it waits for `release` instead of failing."""
    per_second: float | None = None
    """How many requests a second are let through; only the others go wrong. None: every one goes wrong."""
    allowed_at: float = 0.0
    """When the next request is let through, on the monotonic clock."""
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def lets_through(self) -> bool:
        """Say whether a request is within the rate."""
        if self.per_second is None:
            return False
        now = time.monotonic()
        if now < self.allowed_at:
            return False
        self.allowed_at = max(self.allowed_at, now - 1.0) + 1 / self.per_second
        return True

    def release(self) -> None:
        """Let the requests that are held go on."""
        self.released.set()


class _Gone(Exception):
    """The connection is to end without an answer."""


class Faulty:
    """The proxy; in order until told otherwise."""

    def __init__(self, upstream: str) -> None:
        where = urlsplit(upstream)
        self.upstream = (where.hostname or "127.0.0.1", where.port or 80)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[str] = []
        self._server: _Server | None = _Server(self, 0)
        self.port: int = self._server.server_address[1]
        self._server.begin()

    @property
    def endpoint(self) -> str:
        """The address to give as AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    def seen(self, pattern: str) -> int:
        """Count the requests so far that match."""
        with self._lock:
            return sum(1 for label in self._seen if re.search(pattern, label, re.DOTALL))

    def labels(self) -> list[str]:
        """Return the labels of all requests since it was last in order."""
        with self._lock:
            return list(self._seen)

    def refuse(self, pattern: str, answer: Answer, *, times: int | None = None) -> Fault:
        """Answer instead of the emulator."""
        return self._add(pattern, times, answer=answer)

    def limit(self, pattern: str, answer: Answer, *, per_second: float) -> Fault:
        """Let so many requests a second through, and answer the others instead of the emulator."""
        return self._add(pattern, None, answer=answer, per_second=per_second)

    def drop(self, pattern: str, *, times: int | None = None) -> Fault:
        """Close the connection before the request is passed on."""
        return self._add(pattern, times)

    def lose_answer(self, pattern: str, *, times: int | None = 1) -> Fault:
        """Pass the request on, and close the connection in place of the answer."""
        return self._add(pattern, times, forwarded=True)

    def hold(self, pattern: str, *, forwarded: bool = False, times: int | None = 1) -> Fault:
        """Keep the request waiting, before or after it is passed on, until it is released; then it goes its way."""
        return self._add(pattern, times, held=True, forwarded=forwarded)

    def mend(self) -> None:
        """Put everything in order again, and forget what was seen."""
        with self._lock:
            for fault in self._faults:
                fault.release()
            self._faults.clear()
            self._seen.clear()

    def go_away(self) -> None:
        """End every connection, and refuse new ones."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def come_back(self) -> None:
        """Be there again, at the same address."""
        if self._server is None:
            self._server = _Server(self, self.port)
            self._server.begin()

    def close(self) -> None:
        """End for good."""
        self.mend()
        self.go_away()

    def meets(self, label: str) -> Fault | None:
        """Note a request, and return what is to go wrong with it."""
        with self._lock:
            self._seen.append(label)
            for fault in self._faults:
                if fault.times != 0 and fault.matches.search(label) and not fault.lets_through():
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def _add(self, pattern: str, times: int | None, **more: Any) -> Fault:
        fault = Fault(re.compile(pattern, re.DOTALL), times, **more)
        with self._lock:
            self._faults.append(fault)
        return fault


@contextmanager
def faulty(upstream: str) -> Iterator[Faulty]:
    """Run a proxy while the body runs."""
    proxy = Faulty(upstream)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: Faulty, port: int) -> None:
        self.proxy = proxy
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def begin(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that break are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()  # the client waits for it before it sends the body
        return True

    def answer(self) -> None:
        body = self._body()
        fault = self.server.proxy.meets(self._label(body))
        try:
            self._go_its_way(body, fault)
        except (_Gone, OSError, http.client.HTTPException):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 -- the names are http.server's

    def _go_its_way(self, body: bytes, fault: Fault | None) -> None:
        if fault is None:
            self._send(*self._forward(body))
            return
        answer = self._forward(body) if fault.forwarded else None
        fault.reached.set()
        if fault.held:
            fault.released.wait(LONGEST_HOLD)
            self._send(*(answer or self._forward(body)))
        elif fault.answer is not None:
            own = fault.answer
            self._send(own.status, [("Content-Type", own.content_type)], own.body)
        else:
            raise _Gone

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        blocks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(blocks)

    def _label(self, body: bytes) -> str:
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if service in SERVICES:
            return f"{SERVICES[service]}.{operation}\n{body.decode(errors='replace')}"
        return f"s3.{self.command} {unquote(self.path)}"

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.server.proxy.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body=body, headers=headers)
            found = connection.getresponse()
            return found.status, found.getheaders(), found.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
