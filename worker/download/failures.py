"""What a failure of the HTTP client means: which reason code, and whether a further try could get better."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import aiohttp

from worker.download.sockets import Hop, cause_of
from worker.download.urls import ImageUrl, redacted
from worker.errors import ImageError, ImageReason

# Class, reason code, whether a further try could get better, what to tell people.
# The first row that fits decides, so the narrow classes stand before their bases.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], ImageReason, bool, str], ...] = (
    ((aiohttp.ClientConnectorDNSError,), ImageReason.DNS, False, "its host does not resolve"),
    ((aiohttp.ClientSSLError,), ImageReason.TLS, False, "no trusted TLS connection"),
    ((TimeoutError,), ImageReason.TIMEOUT, True, "no answer in time while connecting or reading"),
    ((aiohttp.ClientPayloadError,), ImageReason.TRUNCATED, True, "the body broke off"),
    ((aiohttp.ClientResponseError,), ImageReason.SERVER_ERROR, False, "the answer is malformed or has huge headers"),
    ((aiohttp.InvalidURL,), ImageReason.BAD_URL, False, "the HTTP client cannot use it"),
    ((aiohttp.ClientConnectionError, OSError), ImageReason.CONNECT, True, "the connection failed"),
    ((Exception,), ImageReason.SERVER_ERROR, False, "the HTTP client failed"),
)


@contextmanager
def as_image_errors(url: ImageUrl, hop: Hop) -> Iterator[None]:
    """Raise every failure of the body as the ImageError that it means."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 -- every failure of a library below ends as an ImageError
        _raise_image_error(url, hop, error)


def _raise_image_error(url: ImageUrl, hop: Hop, error: Exception) -> NoReturn:
    """Raise the ImageError that `error` means.

    Its text is made here and the cause is cut off: aiohttp's own texts hold the URL with its signature.
    """
    where = redacted(url.text)
    if hop.refused and isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        raise ImageError(
            ImageReason.ADDRESS_REFUSED, f"{where} leads to {hop.refused}; allowed are public addresses"
        ) from None
    _, reason, transient, why = next(row for row in _MEANINGS if isinstance(error, row[0]))
    raise ImageError(reason, f"{where}: {why} ({cause_of(error)})", transient=transient) from None
