"""A small origin server for the sample photos.

It serves the files of ``samples/photos/`` and, on other paths, the ways in which a real
image host misbehaves, so that a run over ``samples/covers.csv`` meets all of them:

===========================  ===============================================================
``/photos/<file>``           the photo; Content-Type comes from its bytes, not from its name
``/copy/<anything>/<file>``  the same bytes under another address
``/redirect/<file>``         302 to ``/photos/<file>``
``/truncated/<file>``        the first 60 % of the bytes, with a matching Content-Length
``/flaky/<n>/<file>``        503 with ``Retry-After: 0`` to the first n requests, then the photo
``/slow/<ms>/<file>``        waits that many milliseconds, then the photo
``/status/<code>``           that status
``/html/<anything>``         200 with an HTML page
``/tiny.png``                a valid PNG of 20 x 20 pixels
``/healthz``                 200 ``ok``
``/requests``                GET: JSON ``{path: count}``; DELETE: forget all counts
===========================  ===============================================================

A query with an ``x-expires`` time in the past is answered with 403, as a signed link would
be.  Every path is counted as it was received, query included, but for ``/healthz`` and
``/requests``.  ``DELETE /requests`` also makes the ``/flaky/`` paths fail anew.

Run it with ``python samples/origin.py [--host 0.0.0.0] [--port 8080] [--latency-ms 0]``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socketserver
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

PHOTOS = Path(__file__).resolve().parent / "photos"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
TRUNCATED_PART = 0.6
MAX_WAIT_MS = 120_000
MAX_BODY = 1 << 20
LAST_STATUS = 599
UNCOUNTED = frozenset({"/healthz", "/requests"})
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Please wait</title></head>
<body><h1>Please wait</h1><p>We are checking your browser. This is not an image.</p></body>
</html>
"""


def content_type(data: bytes) -> str:
    """Return the media type that the first bytes of *data* show."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypheic", b"ftypavif"):
        return f"image/{data[8:12].decode()}"
    return "application/octet-stream"


def tiny_png(size: int = 20) -> bytes:
    """Return a valid RGB PNG of *size* x *size* pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    row = b"\x00" + b"\x2a\x6f\x97" * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(row * size, 9)),
            chunk(b"IEND", b""),
        )
    )


def expired(query: str, now: float) -> bool:
    """Tell whether *query* carries an ``x-expires`` time before *now*."""
    times = parse_qs(query).get("x-expires", [])
    return any(NUMBER.fullmatch(value) and int(value) < now for value in times)


class OriginServer(ThreadingHTTPServer):
    """The HTTP server, with its photos, its request counts and its settings."""

    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        *,
        photos: Path = PHOTOS,
        latency_ms: int = 0,
        verbose: bool = False,
    ) -> None:
        """Bind to *address*; requests are answered once ``serve_forever`` runs."""
        self.photos = photos.resolve()
        self.latency_ms = latency_ms
        self.verbose = verbose
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.flaky: Counter[str] = Counter()
        super().__init__(address, OriginHandler)

    def server_bind(self) -> None:
        """Bind without the reverse name look-up that the base class makes."""
        socketserver.TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]

    def shutdown(self) -> None:
        """Stop ``serve_forever`` and wake the requests that wait."""
        self.closing.set()
        super().shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a failed request, unless the client merely went away."""
        if self.verbose or not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def pause(self, milliseconds: int) -> None:
        """Wait, but not beyond the end of the server."""
        if milliseconds > 0:
            self.closing.wait(min(milliseconds, MAX_WAIT_MS) / 1000)

    def count(self, target: str) -> None:
        """Count one request for *target*."""
        with self.lock:
            self.counts[target] += 1

    def snapshot(self) -> dict[str, int]:
        """Return the counts so far, by path."""
        with self.lock:
            return dict(sorted(self.counts.items()))

    def reset(self) -> None:
        """Forget all counts."""
        with self.lock:
            self.counts.clear()
            self.flaky.clear()

    def fails_now(self, path: str, failures: int) -> bool:
        """Tell whether this request is one of the first *failures* for *path*."""
        with self.lock:
            self.flaky[path] += 1
            return self.flaky[path] <= failures

    def photo(self, name: str) -> bytes | None:
        """Return the bytes of the photo called *name*, or None if there is none."""
        if not FILE_NAME.fullmatch(name):
            return None
        path = (self.photos / name).resolve()
        if path.parent != self.photos or not path.is_file():
            return None
        return path.read_bytes()


class OriginHandler(BaseHTTPRequestHandler):
    """Answer one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "origin"
    sys_version = ""
    timeout = 60
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    @property
    def origin(self) -> OriginServer:
        """The server, with its own type."""
        if not isinstance(self.server, OriginServer):
            raise TypeError("OriginHandler works with OriginServer only")
        return self.server

    def log_message(self, *args: Any, **named: Any) -> None:
        """Log, if the server was told to."""
        if self.origin.verbose:
            super().log_message(*args, **named)

    def do_GET(self) -> None:
        """Answer a GET request."""
        self.answer()

    def do_HEAD(self) -> None:
        """Answer a HEAD request: as GET, without the body."""
        self.answer()

    def do_DELETE(self) -> None:
        """Forget the request counts."""
        if not self.skip_body():
            return
        if urlsplit(self.path).path == "/requests":
            self.origin.reset()
            self.reply(HTTPStatus.NO_CONTENT)
        else:
            self.plain(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})

    def skip_body(self) -> bool:
        """Read and drop the request body, so that the connection can be used again."""
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not NUMBER.fullmatch(length) or int(length) > MAX_BODY:
            self.close_connection = True
            self.plain(HTTPStatus.BAD_REQUEST, {"Connection": "close"})
            return False
        self.rfile.read(int(length))
        return True

    def answer(self) -> None:
        """Route the request by the first part of its path."""
        if not self.skip_body():
            return
        url = urlsplit(self.path)
        if url.path in UNCOUNTED:
            if url.path == "/healthz":
                self.reply(HTTPStatus.OK, b"ok\n", TEXT)
            else:
                body = json.dumps(self.origin.snapshot(), indent=1).encode() + b"\n"
                self.reply(HTTPStatus.OK, body, "application/json")
            return
        self.origin.count(self.path)
        self.origin.pause(self.origin.latency_ms)
        if expired(url.query, time.time()):
            self.plain(HTTPStatus.FORBIDDEN)
            return
        first, *rest = [unquote(part) for part in url.path.split("/")[1:]]
        route = self.ROUTES.get(first)
        if route is None or not route(self, rest):
            self.plain(HTTPStatus.NOT_FOUND)

    def tiny(self, rest: Sequence[str]) -> bool:
        """Answer ``/tiny.png``."""
        if rest:
            return False
        self.reply(HTTPStatus.OK, tiny_png(), "image/png")
        return True

    def html(self, rest: Sequence[str]) -> bool:
        """Answer ``/html/<anything>``."""
        if not rest:
            return False
        self.reply(HTTPStatus.OK, PAGE, HTML)
        return True

    def status(self, rest: Sequence[str]) -> bool:
        """Answer ``/status/<code>``."""
        if len(rest) != 1 or not NUMBER.fullmatch(rest[0]):
            return False
        code = int(rest[0])
        if not HTTPStatus.OK <= code <= LAST_STATUS:
            return False
        self.plain(code)
        return True

    def photo(self, rest: Sequence[str]) -> bool:
        """Answer ``/photos/<file>``."""
        return len(rest) == 1 and self.send_photo(rest[0])

    def copy(self, rest: Sequence[str]) -> bool:
        """Answer ``/copy/<anything>/<file>``."""
        return len(rest) > 1 and self.send_photo(rest[-1])

    def truncated(self, rest: Sequence[str]) -> bool:
        """Answer ``/truncated/<file>``."""
        return len(rest) == 1 and self.send_photo(rest[0], TRUNCATED_PART)

    def redirect(self, rest: Sequence[str]) -> bool:
        """Answer ``/redirect/<file>``."""
        if len(rest) != 1 or self.origin.photo(rest[0]) is None:
            return False
        self.plain(HTTPStatus.FOUND, {"Location": f"/photos/{rest[0]}"})
        return True

    def flaky(self, rest: Sequence[str]) -> bool:
        """Answer ``/flaky/<n>/<file>``."""
        match rest:
            case [number, name] if NUMBER.fullmatch(number) and self.origin.photo(name):
                if self.origin.fails_now(f"{number}/{name}", int(number)):
                    self.plain(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "0"})
                    return True
                return self.send_photo(name)
        return False

    def slow(self, rest: Sequence[str]) -> bool:
        """Answer ``/slow/<milliseconds>/<file>``."""
        match rest:
            case [number, name] if NUMBER.fullmatch(number):
                self.origin.pause(int(number))
                return self.send_photo(name)
        return False

    def send_photo(self, name: str, part: float = 1.0) -> bool:
        """Send the first *part* of a photo; False if there is none of that name."""
        data = self.origin.photo(name)
        if data is None:
            return False
        self.reply(HTTPStatus.OK, data[: int(len(data) * part)], content_type(data))
        return True

    def plain(self, code: int, extra: dict[str, str] | None = None) -> None:
        """Send a status whose body is its name."""
        try:
            phrase = HTTPStatus(code).phrase
        except ValueError:
            phrase = "Status"
        self.reply(code, f"{code} {phrase}\n".encode(), TEXT, extra)

    def reply(
        self,
        code: int,
        body: bytes = b"",
        media_type: str = TEXT,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Send a whole response."""
        self.send_response(code)
        bodiless = code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if not bodiless:
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if not bodiless and self.command != "HEAD":
            self.wfile.write(body)

    ROUTES: ClassVar[dict[str, Callable[[OriginHandler, Sequence[str]], bool]]] = {
        "photos": photo,
        "copy": copy,
        "redirect": redirect,
        "truncated": truncated,
        "flaky": flaky,
        "slow": slow,
        "status": status,
        "html": html,
        "tiny.png": tiny,
    }


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    latency_ms: int = 0,
    *,
    photos: Path = PHOTOS,
    verbose: bool = False,
) -> ThreadingHTTPServer:
    """Return a server bound to *host* and *port* (0 picks a free one).

    It answers once its ``serve_forever`` runs, usually in a thread of the caller's, and until
    its ``shutdown`` is called; ``server_port`` tells the port.
    """
    return OriginServer((host, port), photos=photos, latency_ms=latency_ms, verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Serve the sample photos.")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 - a container's server
    parser.add_argument("--port", type=int, default=8080, help="port; 0 picks a free one")
    parser.add_argument("--latency-ms", type=int, default=0, help="wait before every answer")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of the photos")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    options = parser.parse_args(arguments)
    server = serve(
        options.host,
        options.port,
        options.latency_ms,
        photos=options.photos,
        verbose=options.verbose,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        sys.stdout.write(f"listening on http://{options.host}:{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
