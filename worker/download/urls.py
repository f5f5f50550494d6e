"""What a cover's URL must look like, and how it is shown to people.

Signed links break when one byte of them changes, so a URL is checked and then sent as it came. Everything that two
parsers may read in two ways (user names, backslashes, numeric hosts, white space) is refused.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal, cast
from urllib.parse import quote, urljoin

import idna

from worker.errors import ImageError, ImageReason
from worker.masks import written_out

MAX_URL_LENGTH = 8_192
"""Characters of a URL as it is sent; signed links of the known CDNs stay below 1,000."""

_MAX_SHOWN_CHARACTERS = 300
_MAX_HOST_CHARACTERS = 253  # RFC 1035, in text form
_MAX_PORT = 65_535
_DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_ORIGIN = re.compile(r"[^/]*//[^/?#]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
# Controls, white space of every script, DEL, backslashes (browsers read them as slashes) and halves of surrogates.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\s\ud800-\udfff]")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
# The last label decides whether resolvers read a host as a number (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")

_EXPIRES = "x-expires"
_EPOCH_SECONDS = re.compile(r"[0-9]{1,15}")
_USER_INFO = re.compile(r"^((?:[a-z][a-z0-9+.-]*:)?[/\\]+)?[^/\\]*@", re.IGNORECASE)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """A checked URL: `text` is ASCII and sent byte for byte; `host` is bare (no brackets), `port` is never 0."""

    text: str
    scheme: Literal["http", "https"]
    host: str
    port: int


def parse_image_url(url: str) -> ImageUrl:
    """Check `url`, and leave every ASCII character of it as it is.

    People paste URLs from address bars, which show them decoded: an international host goes through IDNA, and other
    characters outside ASCII become percent-encoded UTF-8. Raises ImageError(bad_url).
    """
    if len(url) > MAX_URL_LENGTH:
        raise _bad(url, f"it has {len(url):,} characters; allowed are {MAX_URL_LENGTH:,}")
    _check_characters(url)
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _bad(url, "allowed are http:// and https:// with a host")
    scheme = cast("Literal['http', 'https']", parts["scheme"].lower())
    authority = parts["authority"]
    text = url
    if not url.isascii():
        authority = _ascii_authority(url, authority)
        text = f"{parts['scheme']}://{authority}{_percent_encoded(parts['rest'])}"
        if len(text) > MAX_URL_LENGTH:
            raise _bad(url, f"it has {len(text):,} characters when encoded; allowed are {MAX_URL_LENGTH:,}")
    host, port = _host_and_port(url, authority, _DEFAULT_PORTS[scheme])
    return ImageUrl(text=text, scheme=scheme, host=host, port=port)


def redirect_target(url: ImageUrl, location: str) -> ImageUrl:
    """Resolve a Location header against `url` (RFC 3986, 5.2), as exactly as that one. Raises ImageError(bad_url).

    Spaces in it are percent-encoded, as browsers do. `urljoin` drops empty parts of what it joins, which a signature
    may cover, so only relative paths go through it.
    """
    location = location.replace(" ", "%20")
    _check_characters(location)  # first, because `urljoin` drops some of them
    if _SCHEME.match(location):
        return parse_image_url(location)
    if location.startswith("//"):
        return parse_image_url(f"{url.scheme}:{location}")
    if location.startswith("/"):
        origin = _ORIGIN.match(url.text)
        return parse_image_url(f"{origin[0] if origin else ''}{location}")
    return parse_image_url(urljoin(url.text, location))


def host_is_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a host matches one of the patterns, or there are none.

    `cdn.example` matches that host alone, `*.cdn.example` every host below it, at any depth, and not itself.
    Compared as a whole, without case or a final dot: `evil-cdn.example` and `cdn.example.evil` do not match.
    """
    name = host.lower().rstrip(".")
    return not patterns or any(
        name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern for pattern in patterns
    )


def expired(url: str, now: float) -> bool:
    """Whether `x-expires` (epoch seconds) in the query of `url` lies before `now`; a malformed one says nothing."""
    query = url.partition("#")[0].partition("?")[2]
    for element in query.split("&"):
        key, _, value = element.partition("=")
        if key.lower() == _EXPIRES:
            return bool(_EPOCH_SECONDS.fullmatch(value)) and int(value) < now
    return False


def redacted(url: str) -> str:
    """Return the beginning of `url` for logs and errors, on one line that shows what cannot be seen.

    It has no user name, no fragment, and of the query only the keys.
    """
    head, _, query = url.partition("#")[0].partition("?")
    head = _USER_INFO.sub(r"\1", head)
    shown = f"{head}?{'&'.join(_key_only(element) for element in query.split('&'))}" if query else head
    cut = shown[:_MAX_SHOWN_CHARACTERS]
    return written_out(cut) if len(cut) == len(shown) else f"{written_out(cut)}..."


def _check_characters(url: str) -> None:
    if found := _FORBIDDEN.search(url):
        raise _bad(url, f"it has the character U+{ord(found[0]):04X} at {found.start()}; percent-encode it")


def _key_only(element: str) -> str:
    key, separator, _ = element.partition("=")
    # An element without `=` may be a bare token, and a strange key may be a part of one.
    return f"{key}=***" if separator and _PLAIN_KEY.fullmatch(key) else "***"


def _host_and_port(url: str, authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise _bad(url, "it has a user name or password; only the host and a port may stand there")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _bad(url, "its host or port is malformed; allowed are host and host:1-65535")
    port = int(parts["port"] or default_port)
    if port > _MAX_PORT:
        raise _bad(url, f"its port is {port}; allowed are 1-{_MAX_PORT}")
    return _checked_host(url, parts["host"]), port


def _checked_host(url: str, host: str) -> str:
    if host.startswith("["):
        return _ipv6_literal(url, host[1:-1])
    # The C library reads 127.1, 0x7f.1, 017700000001 and 2130706433 as addresses, and others do not: only the
    # canonical form means the same to everyone.
    if _NUMERIC.fullmatch(host):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise _bad(url, "its host is a number; allowed are names and addresses like 192.0.2.1") from None
    if len(host) > _MAX_HOST_CHARACTERS or not _NAME.fullmatch(host):
        raise _bad(
            url, "its host is not a valid name; allowed are letters, digits, hyphens, underscores and single dots"
        )
    return host


def _ipv6_literal(url: str, host: str) -> str:
    try:
        address = IPv6Address(host)
    except AddressValueError:
        raise _bad(url, "its host is not an IPv6 address, although it stands in brackets") from None
    if address.scope_id is not None:
        raise _bad(url, "its host names an interface; allowed are addresses without a zone")
    # One text for one host: Python writes `::ffff:7f00:1` before 3.13, and `::ffff:127.0.0.1` since (RFC 5952, 5).
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _ascii_authority(url: str, authority: str) -> str:
    if authority.isascii():
        return authority
    host, separator, port = authority.partition(":")
    try:
        name = idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise _bad(url, "its host is not a valid international name") from None
    # Full-width digits become plain ones here. Nobody writes an address in this way but to hide it.
    if _NUMERIC.fullmatch(name):
        raise _bad(url, "its host means a number; allowed are names and addresses like 192.0.2.1")
    return f"{name}{separator}{port}"


def _percent_encoded(text: str) -> str:
    return _NON_ASCII.sub(lambda run: quote(run[0]), text)


def _bad(url: str, why: str) -> ImageError:
    return ImageError(ImageReason.BAD_URL, f"cannot use the URL {redacted(url)}: {why}")
