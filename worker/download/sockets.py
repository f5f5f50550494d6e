"""Sockets for public addresses only: the one place that every connection attempt passes.

It sees literal addresses, redirects and names that resolve to something else the second time alike.
"""

import socket
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from aiohappyeyeballs import AddrInfoType, SocketFactoryType

from worker.download.addresses import refusal


class AddressRefused(OSError):
    """A connection was about to be made to an address that `addresses.refusal` names."""


@dataclass(slots=True)
class Hop:
    """What the socket factory saw during one request."""

    opened: bool = False
    refused: str | None = None


# The factory is called deep inside the connector, sometimes in a task of its own that inherits the context. What it
# raises there is folded into texts like "Multiple exceptions: ..." or dropped for the next address's failure, so the
# hop's record is the only trace of a refusal that can be relied on.
hop_under_way: ContextVar[Hop] = ContextVar("hop")


def guarded_sockets(*, allow_private: bool) -> SocketFactoryType:
    """Make sockets for addresses that we may connect to; raise AddressRefused for the others."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        hop = hop_under_way.get()
        if why := refusal_of_text(str(address[0]), allow_private=allow_private):
            hop.refused = f"{address[0]} ({why})"
            raise AddressRefused(hop.refused)
        hop.opened = True
        return socket.socket(family, kind, protocol)

    return make


def refusal_of_text(text: str, *, allow_private: bool) -> str | None:
    """Name what keeps us from connecting to an address in its text form; None where we may."""
    try:
        return refusal(ip_address(text), allow_private=allow_private)
    except ValueError:
        return "not an address"  # a name here would be resolved once more, behind our back


async def repeat_only_on_stale_connections(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request by itself, except where a kept connection turned out to be dead.

    That one repetition costs no attempt (RFC 9112, 9.3.1); any other would be a try that nobody counts.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp does not repeat these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if hop_under_way.get().opened:
            raise aiohttp.ClientConnectionError(cause_of(error)) from error
        raise


def cause_of(error: Exception) -> str:
    """Return what lies behind a failure, in words that hold no URL."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error.__cause__ or error).__name__
