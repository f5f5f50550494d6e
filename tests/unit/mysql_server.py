"""A MySQL server as far as a client's introduction: greeting, TLS where it has it, and one way to prove who one is.

Source: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLIENT_SSL = 1 << 11
CAPABILITIES = 0x000FA285  # protocol 4.1, with plugins and the secure connection's salt
DENIED = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied"


class MySqlServer:
    """What it was told, as bytes, before and after TLS began."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.plain = b""
        self.sealed = b""


@contextmanager
def mysql_server(*, certificate: Path | None = None, asks_for: bytes | None = None) -> Iterator[MySqlServer]:
    """Serve one client. `asks_for` is the way to prove oneself that the client is switched to; else it is denied."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = MySqlServer(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, server, certificate, asks_for))
        thread.start()
        try:
            yield server
        finally:
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
                pass  # or a client that never came would be waited for
            thread.join(10)


def _serve(listener: socket.socket, server: MySqlServer, certificate: Path | None, asks_for: bytes | None) -> None:
    connection, _ = listener.accept()
    connection.settimeout(10)
    with connection, suppress(OSError, EOFError):
        _introduce(connection, server, certificate, asks_for)


def _introduce(
    connection: socket.socket, server: MySqlServer, certificate: Path | None, asks_for: bytes | None
) -> None:
    offered = CAPABILITIES | (CLIENT_SSL if certificate else 0)
    _send(connection, 0, _greeting(offered))
    told = _packet(connection)
    server.plain += told
    if not (certificate and struct.unpack("<I", told[:4])[0] & CLIENT_SSL):
        server.plain += _judge(connection, 2, asks_for)
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with context.wrap_socket(connection, server_side=True) as sealed:
        server.sealed += _packet(sealed)
        server.sealed += _judge(sealed, 3, asks_for)


def _judge(connection: socket.socket, number: int, asks_for: bytes | None) -> bytes:
    """Deny a client, after it was asked for a proof of another kind where there is one; returns the proof."""
    proof = b""
    if asks_for:
        _send(connection, number, b"\xfe" + asks_for + b"\0" + (b"\x02Password: " if asks_for == b"dialog" else b""))
        proof = _packet(connection)
    _send(connection, number + 2 * bool(asks_for), DENIED)
    return proof


def _greeting(capabilities: int) -> bytes:
    salt = b"12345678", b"901234567890\0"
    return (
        b"\x0a8.0.36\0" + struct.pack("<I", 1) + salt[0] + b"\0" + struct.pack("<H", capabilities & 0xFFFF)
        + b"\x2d" + struct.pack("<H", 2) + struct.pack("<H", capabilities >> 16) + b"\x15" + bytes(10) + salt[1]
        + b"mysql_native_password\0"
    )  # fmt: skip


def _send(connection: socket.socket, number: int, body: bytes) -> None:
    connection.sendall(struct.pack("<I", len(body))[:3] + bytes([number]) + body)


def _packet(connection: socket.socket) -> bytes:
    head = _exactly(connection, 4)
    return _exactly(connection, int.from_bytes(head[:3], "little"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        some = connection.recv(count - len(found))
        if not some:
            raise EOFError
        found += some
    return found
