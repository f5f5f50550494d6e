"""Rows from MySQL as a manifest; the server is a fake, a real one's answers are plain rows as well."""

import gzip
import io
from pathlib import Path
from typing import Any, Self

import pymysql
import pytest

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
