"""An origin that costs little: photographs from memory, over kept connections, after a delay.

`python origin.py FOLDER MEAN_MS SPREAD_MS` prints its port. `/NAME.jpg?anything` answers with the file of that name,
whatever its suffix is, as hosts of covers do; the delays are uniform in MEAN ± SPREAD, from a fixed seed.
"""

import asyncio
import random
import sys
from pathlib import Path


class Connection(asyncio.Protocol):
    """One client: reads requests one after another, and answers each after its delay."""

    def __init__(self, files: dict[bytes, bytes], delay: "Delay") -> None:
        self._files = files
        self._delay = delay
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request whose head is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            path = self._buffer[: self._buffer.index(b"\r\n")].split(b" ")[1]
            self._buffer = self._buffer[end + 4 :]
            body = self._files.get(path.partition(b".")[0][1:])
            answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            if body is not None:
                answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            self._delay.then(self._send, answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


class Delay:
    """Calls something later."""

    def __init__(self, mean: float, spread: float) -> None:
        self._mean, self._spread = mean / 1000, spread / 1000
        self._chance = random.Random(1)
        self._loop = asyncio.get_running_loop()

    def then(self, call: "object", answer: bytes) -> None:
        """Call after the delay, or at once where there is none."""
        if self._mean:
            self._loop.call_later(
                self._chance.uniform(self._mean - self._spread, self._mean + self._spread), call, answer
            )
        else:
            call(answer)  # type: ignore[operator]


async def main(folder: str, mean: str, spread: str) -> None:
    """Serve until killed."""
    files = {path.stem.encode(): path.read_bytes() for path in Path(folder).iterdir()}
    delay = Delay(float(mean), float(spread))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(files, delay), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
