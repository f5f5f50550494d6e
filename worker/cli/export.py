"""`export-mysql`: rows from MySQL as a manifest, streamed: memory does not grow with them. All of it blocks."""

import asyncio
import csv
import gzip
import io
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.constants import CR
from pymysql.cursors import SSCursor

from worker.aws.clients import open_clients
from worker.aws.s3 import open_s3
from worker.cli.terminal import print_json, stderr, stdout
from worker.manifest.columns import Wanted
from worker.settings import Settings

ROWS_AT_A_TIME = 2_000
CONNECT_SECONDS = 10

CLEARTEXT = ("mysql_clear_password", "dialog")
"""MySQL's ways to prove who we are that send the password as it is."""

_Row = tuple[object, ...]


class ExportError(Exception):
    """The rows cannot be had, or not be written. The text says why."""


def export_mysql(settings: Settings, query: str, target: str, *, as_json: bool = False) -> int:
    """Write what `query` gives to a file or `s3://BUCKET/KEY`, gzipped where its name ends in `.gz`.

    Returns the exit code. Nothing is left of an export that fails half-way.
    """
    try:
        rows = (
            _to_s3(settings, query, target) if target.startswith("s3://") else _to_file(settings, query, Path(target))
        )
    except ExportError as error:
        stderr.print(str(error), markup=False)
        return 1
    if as_json:
        print_json({"target": target, "rows": rows})
        return 0
    stderr.print(f"{rows:,} rows", markup=False)
    stdout.print(target, markup=False)
    return 0


def _to_file(settings: Settings, query: str, path: Path) -> int:
    if path.exists() and not path.is_file():
        raise ExportError(f"cannot write {path}: it is no file")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            rows = _write(settings, query, file, zipped=path.suffix == ".gz")
        part.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def _to_s3(settings: Settings, query: str, target: str) -> int:
    bucket, _, key = target.removeprefix("s3://").partition("/")
    with tempfile.TemporaryFile(prefix="export-") as file:
        rows = _write(settings, query, file, zipped=key.endswith(".gz"))
        file.seek(0)
        asyncio.run(_upload(settings, bucket, key, file))
    return rows


async def _upload(settings: Settings, bucket: str, key: str, file: BinaryIO) -> None:
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        await open_s3(settings, clients).put(
            bucket, key, file, "application/gzip" if key.endswith(".gz") else "text/csv"
        )


def _write(settings: Settings, query: str, file: BinaryIO, *, zipped: bool) -> int:
    """Write header and rows as CSV in UTF-8; returns the number of rows."""
    whole = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, filename="") if zipped else file
    text = io.TextIOWrapper(whole, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    count = 0
    with _result(settings, query) as (names, rows):
        wanted = Wanted(settings.default_creator_column, settings.default_url_column)
        if wanted.find(names) is None:  # refused here, before millions of rows are: the worker would find none either
            raise wanted.missing(names)
        writer.writerow(names)
        for row in rows:
            writer.writerow([_field(value) for value in row])
            count += 1
    if not count:
        raise ExportError("the query gives no row; nothing is written")
    text.flush()
    text.detach()
    if whole is not file:
        whole.close()
    return count


@contextmanager
def _result(settings: Settings, query: str) -> Iterator[tuple[list[str], Iterator[_Row]]]:
    """Give the names of the query's columns and its rows, which the server holds until they are read."""
    url = urlsplit(str(settings.mysql_url))
    host = url.hostname or ""
    # On this machine TLS is taken where the server has it. Elsewhere PyMySQL may not go on without.
    tls: Any = {} if _is_loopback(host) else {"ssl": _verifying(settings.mysql_ca)}
    try:
        with pymysql.connect(
            host=host,
            port=url.port or 3306,
            user=unquote(url.username or ""),
            password=unquote(url.password or "").encode(),  # PyMySQL would make Latin-1 of a text
            database=unquote(url.path.strip("/")) or None,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            cursorclass=SSCursor,
            auth_plugin_map=dict.fromkeys(CLEARTEXT, _Refused),
            **tls,
        ) as connection:
            cursor = connection.cursor()
            try:
                cursor.execute("START TRANSACTION READ ONLY")
                cursor.execute(query)
                if cursor.description is None:
                    raise ExportError("the query gives no rows at all; it has to be a SELECT")
                yield [str(column[0]) for column in cursor.description], _rows(cursor)
            finally:
                _abandon(cursor)
    except pymysql.MySQLError as error:
        raise ExportError(f"MySQL at {host}: {error.args[-1]}{_advice(error)}") from error
    except RuntimeError as error:  # an authentication that needs TLS or a library that is not there
        raise ExportError(f"MySQL at {host}: {error}") from error


def _is_loopback(host: str) -> bool:
    """Say whether nobody is between us and a host: what goes there does not leave this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _verifying(authority: str | None) -> ssl.SSLContext:
    """Return a context that takes only a certificate of the host's own name, from `authority` or the system's.

    `authority` is a file of certificates, or the certificates themselves (PEM). Raises `ExportError`.
    """
    text = authority if authority and authority.lstrip().startswith("-----BEGIN") else None
    try:
        context = ssl.create_default_context(cafile=None if text else authority, cadata=text)
    except OSError as error:  # an SSLError as well
        raise ExportError(f"MYSQL_CA: got {_shortened(authority)}, which holds no certificates: {error}") from error
    # Python 3.13's strictness refuses certificates that lack extensions; MySQL's own authorities lack them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _shortened(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 80 else text[:77] + "...")


class _Refused:
    """In place of a way to prove who we are that gives the password itself away, whatever carries it."""

    def __init__(self, connection: object) -> None:
        """Take what PyMySQL gives, and nothing of it."""

    def authenticate(self, _packet: object) -> NoReturn:
        """Say no. Raises `OperationalError`."""
        raise pymysql.OperationalError(
            CR.CR_AUTH_PLUGIN_ERR,
            "the server asks for the password in clear text, and does not get it; give the account "
            "caching_sha2_password or mysql_native_password",
        )


def _advice(error: pymysql.MySQLError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "; MYSQL_CA names the authority whose certificates count (a file, or PEM), MYSQL_URL the host as they do"
    return "; passwords and rows go over TLS alone: switch it on there" if "SSL is required" in str(error) else ""


def _abandon(cursor: Any) -> None:
    """Keep PyMySQL from reading the rest of an unfinished result, perhaps millions of rows, before it lets go."""
    if cursor._result is not None:  # noqa: SLF001 -- there is no public way
        cursor._result.unbuffered_active = False  # noqa: SLF001
    cursor.connection = None


def _rows(cursor: SSCursor) -> Iterator[_Row]:
    while some := cursor.fetchmany(ROWS_AT_A_TIME):
        yield from some


def _field(value: object) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
