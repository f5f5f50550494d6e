"""Rows from MySQL as a manifest; the server is a fake, a real one's answers are plain rows as well."""

import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pymysql
import pytest

from tests.unit.certificates import self_signed
from tests.unit.mysql_server import mysql_server
from worker.cli import export
from worker.cli.export import export_mysql
from worker.errors import TerminalError
from worker.manifest.manifest import open_manifest
from worker.settings import Settings

SETTINGS = Settings(mysql_url="mysql://re%40der:p%40ss%2Fw%C3%B6rd@db.example:3307/covers")
NAMES = ("id", "creator_name", "cover_url")
ROWS: list[tuple[object, ...]] = [
    (1, "ann", "http://a/1.jpg?x=1,2"),
    (2, 'bö, "b"\n王🙂', b"http://a/2.jpg"),
    (3, None, "http://a/3.jpg"),
]


class Server:
    """A connection and its cursor in one."""

    def __init__(self, names: tuple[str, ...] | None, rows: list[tuple[object, ...]], broken: bool = False) -> None:
        self.description = None if names is None else [(name, 253) for name in names]
        self.rows = iter(rows)
        self.broken = broken
        self.asked: list[str] = []
        self.connected: dict[str, Any] = {}
        self._result: Any = None
        self.connection: object = self

    def connect(self, **how: Any) -> Self:
        self.connected = how
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def cursor(self) -> Self:
        return self

    def execute(self, query: str) -> None:
        self.asked.append(query)

    def fetchmany(self, count: int) -> list[tuple[object, ...]]:
        found = [row for row, _ in zip(self.rows, range(count), strict=False)]
        if not found and self.broken:
            raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
        return found


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def started(names: tuple[str, ...] | None = NAMES, rows: list[tuple[object, ...]] = ROWS, **more: Any) -> Server:
        server = Server(names, rows, **more)
        monkeypatch.setattr(export.pymysql, "connect", server.connect)
        return server

    return started


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_rows_become_a_manifest_that_the_worker_reads(serve: Any, tmp_path: Path, name: str, capsys: Any) -> None:
    server = serve()
    assert export_mysql(SETTINGS, "SELECT 1", str(tmp_path / name)) == 0
    assert capsys.readouterr().out == f"{tmp_path / name}\n"
    body = (tmp_path / name).read_bytes()
    batches = list(open_manifest(io.BytesIO(body)).blocks())
    assert [(entry[0], entry[2]) for batch in batches for entry in batch.entries] == [
        ("ann", "http://a/1.jpg?x=1,2"),
        ('bö, "b"\n王🙂', "http://a/2.jpg"),
    ]
    assert [reject.reason for batch in batches for reject in batch.rejects] == ["no_creator"], "it lost its creator"
    text = gzip.decompress(body) if name.endswith(".gz") else body
    assert text.startswith(b"id,creator_name,cover_url\n1,ann,")
    assert server.asked[-1] == "SELECT 1"


def test_the_url_says_where_and_who(serve: Any, tmp_path: Path) -> None:
    server = serve()
    export_mysql(SETTINGS, "SELECT 1", str(tmp_path / "out.csv"))
    told = {name: server.connected[name] for name in ("host", "port", "user", "password", "database", "charset")}
    assert told == {
        "host": "db.example",
        "port": 3307,
        "user": "re@der",
        "password": "p@ss/wörd".encode(),
        "database": "covers",
        "charset": "utf8mb4",
    }
    assert "rd@" not in str(SETTINGS.effective())


@pytest.mark.parametrize(
    ("names", "rows", "broken", "why"),
    [
        (NAMES, [], False, "no row"),
        (None, [], False, "SELECT"),
        (NAMES, ROWS, True, "MySQL at db.example: Lost connection"),
    ],
)
def test_what_fails_leaves_nothing_and_says_why(
    serve: Any, tmp_path: Path, capsys: Any, names: Any, rows: Any, broken: bool, why: str
) -> None:
    serve(names, rows, broken=broken)
    assert export_mysql(SETTINGS, "SELECT 1", str(tmp_path / "out.csv")) == 1
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_columns_that_the_worker_would_not_find_are_refused_before_any_row(serve: Any, tmp_path: Path) -> None:
    server = serve(("who", "cover_url"), [("ann", "http://a/")])
    with pytest.raises(TerminalError, match="no creator column"):
        export_mysql(SETTINGS, "SELECT 1", str(tmp_path / "out.csv"))
    assert list(server.rows), "none was read"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_target(serve: Any, tmp_path: Path, capsys: Any) -> None:
    serve()
    assert export_mysql(SETTINGS, "SELECT 1", str(tmp_path)) == 1
    assert "it is no file" in capsys.readouterr().err


# --- who may listen -------------------------------------------------------------------------------------------------

ELSEWHERE = "127.1"
"""It leads to this machine as any host's name leads to a host, and is no address that counts as loopback."""

SECRET = "p4ssw0rd-in-clear"


def exported(host: str, port: int, target: Path, authority: str | None = None) -> int:
    settings = Settings(mysql_url=f"mysql://reader:{SECRET}@{host}:{port}/covers", mysql_ca=authority)
    return export_mysql(settings, "SELECT 1", str(target))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    return self_signed(tmp_path, ELSEWHERE, now - timedelta(days=1), now + timedelta(days=1))


def authority_of(certificate: Path) -> str:
    """Return the certificate alone, without its key."""
    return "-----BEGIN CERTIFICATE-----" + certificate.read_text().partition("-----BEGIN CERTIFICATE-----")[2]


def test_a_server_without_tls_is_told_nothing_at_all(tmp_path: Path, capsys: Any) -> None:
    with mysql_server() as server:
        assert exported(ELSEWHERE, server.port, tmp_path / "out.csv") == 1
    assert server.plain == b""
    told = capsys.readouterr().err
    assert f"MySQL at {ELSEWHERE}" in told
    assert "TLS" in told


def test_a_server_whose_certificate_nobody_vouches_for_learns_neither_name_nor_password(
    tmp_path: Path, certificate: Path, capsys: Any
) -> None:
    with mysql_server(certificate=certificate) as server:
        assert exported(ELSEWHERE, server.port, tmp_path / "out.csv") == 1
    assert (b"reader" in server.plain, server.sealed) == (False, b"")
    assert "MYSQL_CA" in capsys.readouterr().err


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, capsys: Any) -> None:
    now = datetime.now(UTC)
    other = self_signed(tmp_path, "db.example", now - timedelta(days=1), now + timedelta(days=1))
    with mysql_server(certificate=other) as server:
        assert exported(ELSEWHERE, server.port, tmp_path / "out.csv", authority_of(other)) == 1
    assert server.sealed == b""
    assert "MYSQL_CA" in capsys.readouterr().err


@pytest.mark.parametrize("as_file", [True, False])
def test_with_an_authority_of_ones_own_the_introduction_is_sealed(
    tmp_path: Path, certificate: Path, capsys: Any, as_file: bool
) -> None:
    authority = str(certificate) if as_file else authority_of(certificate)
    with mysql_server(certificate=certificate) as server:
        assert exported(ELSEWHERE, server.port, tmp_path / "out.csv", authority) == 1
    assert b"reader" not in server.plain
    assert b"reader" in server.sealed
    assert "Access denied" in capsys.readouterr().err


def test_a_server_on_this_machine_needs_no_tls(tmp_path: Path, capsys: Any) -> None:
    with mysql_server() as server:
        assert exported("127.0.0.1", server.port, tmp_path / "out.csv") == 1
    assert b"reader" in server.plain
    assert SECRET.encode() not in server.plain
    assert "Access denied" in capsys.readouterr().err


@pytest.mark.parametrize("way", [b"mysql_clear_password", b"dialog"])
@pytest.mark.parametrize("host", ["127.0.0.1", ELSEWHERE])
def test_the_password_never_goes_as_it_is_whoever_asks(
    tmp_path: Path, certificate: Path, capsys: Any, host: str, way: bytes
) -> None:
    sealed = certificate if host == ELSEWHERE else None
    with mysql_server(certificate=sealed, asks_for=way) as server:
        assert exported(host, server.port, tmp_path / "out.csv", authority_of(certificate)) == 1
    assert SECRET.encode() not in server.plain + server.sealed
    assert "clear text" in capsys.readouterr().err


@pytest.mark.parametrize("authority", ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----"])
def test_an_authority_that_cannot_be_read_is_told_by_its_setting(tmp_path: Path, capsys: Any, authority: str) -> None:
    assert exported(ELSEWHERE, 1, tmp_path / "out.csv", authority) == 1
    assert "MYSQL_CA: got " in capsys.readouterr().err
