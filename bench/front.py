"""A front for moto that answers at once where a creator's results are written: `front.py PORT MOTO_PORT [CERTIFICATE]`.

moto does 250 calls a second with a core to itself. A worker that waits for it sleeps between any two answers, and what
it costs is then mostly waking up beside moto. Puts into the output bucket and creators' records are read and confirmed
here; all else goes on to moto.
"""

import asyncio
import ssl
import sys

RESULTS = b"PUT /tiktok-image-output/"
RECORD = b"x-amz-target: dynamodb_20120810.putitem"
OF_A_CREATOR = b'"creator_name": {"S": "creator'
EXPECTS = b"Expect: 100-continue\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"

STORED = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nx-amz-request-id: 0\r\nContent-Length: 0\r\n\r\n'
RECORDED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-requestid: 0\r\nContent-Length: 2\r\n\r\n{}"
)


async def main(port: str, upstream: str, certificate: str | None = None) -> None:
    """Serve until killed; with a certificate and its key in one file, over https."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head, body = await message(reader, writer)
                writer.write(answer(head, body) or await forwarded(head, body, int(upstream)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", int(port), limit=1 << 20, ssl=context)
    await server.serve_forever()


async def message(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, has_body: bool = True
) -> tuple[bytes, bytes]:
    """Read a request or an answer: its head, with the empty line, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    if EXPECTS in head:
        head = head.replace(EXPECTS, b"")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    lowered = head.lower()
    if CHUNKED in lowered:
        return head, await _chunked(reader)
    length = lowered.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return head, await reader.readexactly(int(length or 0) if has_body else 0)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


def answer(head: bytes, body: bytes) -> bytes | None:
    """Return the answer to what is a creator's result, None for anything else."""
    if head.startswith(RESULTS):
        return STORED
    return RECORDED if RECORD in head.lower() and OF_A_CREATOR in body else None


async def forwarded(head: bytes, body: bytes, upstream: int) -> bytes:
    """Return moto's answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream)
    try:
        writer.write(head + body)
        return b"".join(await message(reader, writer, has_body=not head.startswith(b"HEAD")))
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
