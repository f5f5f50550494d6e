"""The connections of the downloads: aiohttp's, with our own sockets and names, and a parser that accepts more."""

import ssl
from functools import partial
from typing import Any

import aiohttp
from aiohappyeyeballs import SocketFactoryType
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

from worker.download.content_length import LengthsOnce, is_in_order


class _ForgivingHandler(ResponseHandler):
    """Reads answers off one connection."""

    _is_new = False
    _lengths: LengthsOnce | None = None

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next answer."""
        self._is_new, self._lengths = True, None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived."""
        if self._is_new:
            self._is_new = False
            if not is_in_order(data):
                self._lengths = LengthsOnce()
        if self._lengths is not None:
            data = self._lengths.feed(data)
            if self._lengths.is_past_the_head:
                self._lengths = None
            if not data:
                return
        super().data_received(data)


class Connector(aiohttp.TCPConnector):
    """Connects to the hosts of images. The caller bounds the number of connections."""

    def __init__(self, *, resolver: AbstractResolver, sockets: SocketFactoryType, tls: ssl.SSLContext | None) -> None:
        super().__init__(limit=0, use_dns_cache=False, resolver=resolver, socket_factory=sockets, ssl=tls or True)
        self._factory: Any = partial(_ForgivingHandler, loop=self._loop)
