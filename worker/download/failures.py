"""What a failure of the HTTP client means: which reason code, and whether a further try could get better."""

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


def as_image_error(url: ImageUrl, hop: Hop, error: Exception) -> ImageError:
    """Return the ImageError that a failure means.

    Its text is made here, and whoever raises it cuts the cause off: aiohttp's texts hold the URL with its signature.
    """
    where = redacted(url.text)
    if hop.refused and isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ImageError(ImageReason.ADDRESS_REFUSED, f"{where} leads to {hop.refused}; allowed are public addresses")
    _, reason, transient, why = next(row for row in _MEANINGS if isinstance(error, row[0]))
    return ImageError(reason, f"{where}: {why} ({cause_of(error)})", transient=transient)
