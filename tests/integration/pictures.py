"""The server that covers come from, and manifests that name them."""

import csv
import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from samples.origin import PHOTOS, OriginServer, serve

SMALL = ("espresso-cup.jpg", "orange-dahlia.jpg", "kitten-with-yarn.jpg", "lincoln-memorial-night.jpg")
"""Small photos, quick to decode."""

EVERY = tuple(sorted(path.name for path in PHOTOS.iterdir()))


PICTURE_BYTES = {path.name: path.stat().st_size for path in PHOTOS.iterdir()}


class Origin:
    """The sample origin, and what it was asked for."""

    def __init__(self, server: OriginServer) -> None:
        self._server = server
        self.base = f"http://127.0.0.1:{server.server_port}"

    def photo(self, name: str, tag: str = "any") -> str:
        """Return a link to a photo that no other tag has."""
        return f"{self.base}/copy/{tag}/{name}"

    def photos(self, count: int, tag: str) -> list[str]:
        """Return links to different photos."""
        return [self.photo(name, tag) for name in EVERY[:count]]

    def slow(self, milliseconds: int, name: str = SMALL[0]) -> str:
        """Return a link to a photo that takes its time. Each time in milliseconds is a link of its own."""
        return f"{self.base}/slow/{milliseconds}/{name}"

    def asked(self, part: str) -> int:
        """Count the requests so far whose path contains `part`."""
        return sum(count for path, count in self._server.snapshot().items() if part in path)


@contextmanager
def origin_server() -> Iterator[Origin]:
    """Run the origin in a thread while the body runs."""
    server = serve()
    assert isinstance(server, OriginServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Origin(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def manifest(rows: Iterable[tuple[str, str]]) -> str:
    """Return a CSV of (creator, URL) rows."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("creator_name", "cover_url"))
    out.writerows(rows)
    return text.getvalue()


def token() -> str:
    """Return a short name that nothing else has."""
    return uuid4().hex[:10]
