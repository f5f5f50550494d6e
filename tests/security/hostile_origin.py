"""A server that does everything wrong, one way for each path; standard library only, loopback only.

`make hostile-origin`, or `python -m tests.security.hostile_origin [PORT]`: `/` lists the ways, `/good/N.png` are sound
pictures and `/photo/N.jpg` photographs, each of its own, and `/manifest.csv?base=http://127.0.0.1:PORT` is a manifest
with one row of each.
"""

# ruff: noqa: E501 -- a case on one line reads as a table

import argparse
import asyncio
import itertools
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import unquote

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Answer = Callable[[Writer], Awaitable[None]]
DRIP = 0.2
"""Seconds between two bytes of a server that drips."""


@cache
def picture(number: int, side: int = 64) -> bytes:
    """Return a PNG in a colour of its own."""
    colour = bytes((number * 37 % 256, number // 7 % 256, number * 11 % 256))
    rows = (b"\0" + colour * side) * side
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"tEXt", b"number\0" + str(number).encode()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


GOOD = picture(0)
PHOTOS = sorted((Path(__file__).parents[2] / "samples" / "photos").glob("*.jpg"))


@cache
def _photograph(number: int) -> bytes:
    return PHOTOS[number].read_bytes()


def photograph(number: int) -> bytes:
    """Return a JPEG with bytes of its own: one of the sample photos, and its number behind the end."""
    return _photograph(number % len(PHOTOS)) + str(number).encode()


def reply(
    status: int = 200, *headers: str, body: bytes = GOOD, kind: str = "image/png", length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} So", *headers, f"Content-Type: {kind}"]
    lines += [f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\r\n".join(lines).encode() + body


def says(data: bytes, *, then_closes: bool = True) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(data)
        await writer.drain()
        if not then_closes:
            await asyncio.sleep(3_600)

    return answer


def drips(start: bytes, drop: bytes, pause: float = DRIP) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
BLOCK = b"\0" * 65_536
START = GOOD[:64]
"""What an image begins like: reading ends at once where a body begins like none."""
HTML = b"<!doctype html><title>Not found</title><p>This is not the image that you look for."


@cache
def squeezed(wbits: int, body: bytes = START + BLOCK * 200) -> bytes:
    """Return a body packed as zlib does for `wbits`: a bomb, unless another is given."""
    squeeze = zlib.compressobj(wbits=wbits)
    return squeeze.compress(body) + squeeze.flush()


# name → what it does, how it answers, the reason code that has to come of it (None: the picture is fine)
WAYS: dict[str, tuple[str, Answer, str | None]] = {
    "silent": ("accepts, reads, and says nothing", says(b"", then_closes=False), "timeout"),
    "slow-headers": ("drips headers, a byte at a time", drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"), "timeout"),
    "slow-body": ("drips the body, a byte at a time", drips(reply(length=100_000, body=b""), b"x"), "timeout"),
    "slow-chunks": ("drips chunks of one byte", drips(CHUNKED, b"1\r\nx\r\n"), "timeout"),
    "stalls": ("sends half a body and then nothing", says(reply(length=len(GOOD) * 2), then_closes=False), "timeout"),
    "endless-headers": ("sends headers for ever", drips(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 1_000, 0), "server_error"),
    "endless-header": ("sends one header for ever", drips(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 8_000, 0), "server_error"),
    "thousand-headers": ("sends a thousand headers, and then a picture", says(reply(200, *["X: y"] * 1_000)), "any"),
    "endless-body": ("sends zeros until the connection ends", drips(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + START, BLOCK, 0), "too_large"),
    "endless-chunks": ("sends chunks of zeros for ever", drips(CHUNKED + b"40\r\n" + START + b"\r\n", b"10000\r\n" + BLOCK + b"\r\n", 0), "too_large"),
    "zeros": ("sends zeros as an image, until the connection ends", drips(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", BLOCK, 0), "not_an_image"),
    "huge-by-its-word": ("announces a petabyte", says(reply(length=10**15)), "too_large"),
    "too-short": ("announces more than it sends", says(reply(length=len(GOOD) + 10)), "truncated"),
    "too-long": ("sends more than it announces", says(reply(length=len(GOOD) - 20)), "truncated"),
    "negative-length": ("announces a negative length", says(reply(length=-1)), "server_error"),
    "two-lengths": ("announces two lengths", says(reply(200, "Content-Length: 5")), "server_error"),
    "length-and-chunks": ("announces a length and chunks (request smuggling)", says(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n"), "any"),
    "bad-chunks": ("sends chunks that are none", says(CHUNKED + b"zz\r\nnope\r\n"), "any"),
    "huge-chunk": ("announces a chunk of 2^64 bytes", says(CHUNKED + b"ffffffffffffffff\r\n" + GOOD), "any"),
    "same-length-twice": ("announces its length twice", says(reply(200, f"Content-Length: {len(GOOD)}")), None),
    "gzip-bomb": ("sends 13 megabytes of zeros, packed", says(reply(200, "Content-Encoding: gzip", body=squeezed(31))), "too_large"),
    "deflate-bomb": ("sends 13 megabytes of zeros, packed", says(reply(200, "Content-Encoding: deflate", body=squeezed(15))), "too_large"),
    "raw-deflate-bomb": ("sends 13 megabytes of zeros, packed", says(reply(200, "Content-Encoding: deflate", body=squeezed(-15))), "too_large"),
    "gzip-noise": ("says that noise is packed", says(reply(200, "Content-Encoding: gzip", body=b"\x1f\x8b" + bytes(range(200)))), "unsupported_encoding"),
    "gzip": ("packs a picture although nobody asked for it", says(reply(200, "Content-Encoding: gzip", body=squeezed(31, GOOD))), None),
    "brotli": ("packs in a way that was not asked for", says(reply(200, "Content-Encoding: br")), "unsupported_encoding"),
    "loop": ("redirects to itself", says(reply(302, "Location: loop")), "server_error"),
    "chain": ("redirects on and on", says(b""), "server_error"),
    "to-credentials": ("redirects to the task's credentials", says(reply(302, "Location: http://169.254.170.2/v2/credentials")), "address_refused"),
    "to-metadata": ("redirects to the instance's metadata", says(reply(307, "Location: http://[fd00:ec2::254]/latest/meta-data/")), "address_refused"),
    "to-mapped": ("redirects to a link-local address in disguise", says(reply(302, "Location: http://[::ffff:169.254.169.254]/")), "address_refused"),
    "to-number": ("redirects to an address written as a number", says(reply(302, "Location: http://2852039166/")), "bad_url"),
    "to-file": ("redirects to a file", says(reply(301, "Location: file:///etc/passwd")), "bad_url"),
    "to-gopher": ("redirects to another protocol", says(reply(301, "Location: gopher://127.0.0.1:6379/_FLUSHALL")), "bad_url"),
    "to-user": ("redirects to a URL with a password", says(reply(302, "Location: http://a:b@127.0.0.1/")), "bad_url"),
    "to-nowhere": ("redirects without saying where", says(reply(302)), "server_error"),
    "to-junk": ("redirects to bytes that are no text", says(b"HTTP/1.1 302 So\r\nLocation: \xff\xfe\x01\r\nContent-Length: 0\r\n\r\n"), "any"),
    "html": ("says 200 with a web page", says(reply(body=HTML, kind="text/html; charset=utf-8")), "not_an_image"),
    "html-as-image": ("says that a web page is an image", says(reply(body=HTML)), "not_an_image"),
    "empty": ("says 200 with nothing", says(reply(body=b"")), "not_an_image"),
    "no-content": ("says 204", says(b"HTTP/1.1 204 So\r\n\r\n"), "server_error"),
    "partial": ("says 206, which nobody asked for", says(reply(206)), "server_error"),
    "whole-part": ("says 206 of a part that is the whole", says(reply(206, f"Content-Range: bytes 0-{len(GOOD) - 1}/{len(GOOD)}")), None),
    "to-a-space": ("redirects to a URL with a space in it", says(reply(302, "Location: /good/1.png?a b")), None),
    "rate-limited": ("asks to wait for a year", says(reply(429, "Retry-After: 31536000")), "rate_limited"),
    "until-2099": ("asks to wait until 2099", says(reply(503, "Retry-After: Thu, 01 Jan 2099 00:00:00 GMT")), "server_error"),
    "bad-retry-after": ("asks to wait for nonsense", says(reply(503, "Retry-After: 1e999, -5, \u00b2".encode("latin-1").decode("latin-1"))), "server_error"),
    "forbidden": ("says 403", says(reply(403)), "forbidden"),
    "gone": ("says 410", says(reply(410)), "not_found"),
    "ssh": ("speaks another protocol", says(b"SSH-2.0-OpenSSH_9.6\r\n"), "server_error"),
    "noise": ("sends noise", says(bytes(range(256)) * 10), "server_error"),
    "reset": ("closes without a word", says(b""), "connect"),
    "cookies": ("sets cookies and scripts, and then a picture", says(reply(200, "Set-Cookie: a=b; Domain=.com", "Set-Cookie: c=d; Path=/", "Refresh: 0; url=http://127.0.0.1/", "Link: </x>; rel=preload")), None),
    "http-1.0": ("speaks HTTP/1.0 and ends with the connection", says(b"HTTP/1.0 200 OK\r\nContent-Type: image/png\r\n\r\n" + GOOD), None),
    "hints": ("says 103 a hundred times, and then a picture", says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100 + reply()), "any"),
    "truncated-image": ("sends half a picture as a whole one", says(reply(body=GOOD[: len(GOOD) // 2])), "truncated"),
    "bomb": ("sends a PNG of 10 gigapixels", says(reply(body=GOOD[:16] + struct.pack(">II", 100_000, 100_000) + GOOD[24:])), "truncated"),
    "svg": ("sends an SVG", says(reply(body=b"<svg xmlns='http://www.w3.org/2000/svg'/>", kind="image/svg+xml")), "unsupported_format"),
    "header-injection": ("sends terminal controls and newlines in headers", says(reply(404, 'X-Log: \x1b[31m{"event":"forged"}')), "any"),
}  # fmt: skip
ANY = "any"  # any reason code, or the picture: what counts is that it ends


@dataclass
class HostileOrigin:
    """The server; `sent` counts the bytes that were handed to the network, by path."""

    port: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    """What was asked, whole."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What `/file/NAME` serves."""
    connections: int = 0
    open: int = 0
    most_open: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.create_task(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        path = ""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = unquote(head.split(b" ")[1].decode("latin-1").partition("?")[0])
                self.asked[path] = self.asked.get(path, 0) + 1
                self.heads.append(head)
                if not await self._answer(path, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, path: str, writer: Writer) -> bool:
        """Answer one request, and tell whether the connection goes on."""
        kind, _, rest = path.lstrip("/").partition("/")
        if kind == "good":
            writer.write(reply(body=picture(int(rest.partition(".")[0] or 0))))
        elif kind == "photo":
            writer.write(reply(body=photograph(int(rest.partition(".")[0])), kind="image/jpeg"))
        elif kind == "cut":  # closes after so many bytes of a sound answer
            writer.write(reply()[: int(rest)])
            return False
        elif kind == "file":
            writer.write(reply(body=self.files[rest]))
        elif kind == "chain":
            writer.write(reply(302, f"Location: /chain/{int(rest or 0) + 1}"))
        elif kind in WAYS:
            await WAYS[kind][1](writer)
            return False
        elif kind == "manifest.csv":
            writer.write(reply(body=manifest(self.base).encode(), kind="text/csv"))
        else:
            writer.write(reply(200 if not kind else 404, body=index().encode(), kind="text/plain; charset=utf-8"))
        await writer.drain()
        return True


def index() -> str:
    """List the ways."""
    return "".join(f"/{name:20} {told}; {reason or 'a picture'}\n" for name, (told, _, reason) in WAYS.items())


def manifest(base: str) -> str:
    """Return a manifest with a row of each way, and a sound one after each."""
    numbers = itertools.count(1)
    rows = [f"hostile,{base}/{name}\ngood,{base}/good/{next(numbers)}.png\n" for name in WAYS]
    return "creator_name,cover_url\n" + "".join(rows)


async def main(port: int) -> None:
    async with HostileOrigin(port) as origin:
        print(index())
        print(f"at {origin.base}; try: ALLOW_PRIVATE_ADDRESSES=true python -m worker process FILE -o DIR")
        print(f"with the manifest {origin.base}/manifest.csv; Ctrl-C ends it", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="?", default=8666)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().port))
