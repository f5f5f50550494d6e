"""Makes sockets, for public addresses only. Every connection attempt passes here.

So literal addresses, redirects, and names that resolve to another address the second time are all judged alike.
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


# The connector calls the factory, sometimes in a task of its own, which inherits the context. What the factory raises
# there is put into texts like "Multiple exceptions: ...", or lost when another address fails as well. So only this
# record tells reliably that an address was refused.
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
        return "not an address"  # a name would be resolved once more, and nobody would judge what it resolves to


async def repeat_only_on_stale_connections(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request by itself, except where a kept connection turned out to be dead.

    That one repetition is no further try (RFC 9112, 9.3.1). Any other would be one that nobody counts.
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
    """Return the cause of a failure, in words that hold no URL."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error.__cause__ or error).__name__
