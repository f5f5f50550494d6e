"""Asks the machine's name servers for the addresses of hosts, without a thread for each question.

c-ares does the asking. It reads /etc/hosts and /etc/resolv.conf as other programs do, and asks for IPv4 and IPv6
addresses at the same time; where one of the two is answered, it does not wait long for the other.
"""

import socket
from collections.abc import Sequence

import aiodns
import pycares
from aiohttp.abc import AbstractResolver, ResolveResult

_FIRST_WAIT_SECONDS = 1.0
"""How long c-ares waits for the first answer, before it knows how fast the name servers are; then doubled each time."""

_TRIES = 4
"""Questions to each name server. c-ares waits only a quarter of a second for the first answer of a server that mostly
answers from its cache: with fewer tries, names that such a server has to ask for itself would be given up too soon."""

_NO_SUCH_NAME = frozenset({pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA, pycares.errno.ARES_EBADNAME})


class DnsResolver(AbstractResolver):
    """Resolves names by DNS and /etc/hosts. `name_servers` are `ADDRESS:PORT`; none are those of the machine.

    With `search_domains` a name is looked for in the machine's search domains as well, which is for names inside a
    private network: those of strangers are whole, and would only be asked for once more with each such domain.
    """

    def __init__(self, *, search_domains: bool = False, name_servers: Sequence[str] = ()) -> None:
        self._flags = 0 if search_domains else pycares.ARES_FLAG_NOSEARCH
        self._name_servers = name_servers
        self._asker: aiodns.DNSResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises socket.gaierror: EAI_NONAME for no such name, else EAI_AGAIN."""
        try:
            found = await self._asked(host, port, family)
        except aiodns.error.DNSError as error:
            code, text = error.args
            meaning = socket.EAI_NONAME if code in _NO_SUCH_NAME else socket.EAI_AGAIN
            raise socket.gaierror(meaning, text) from None
        return [
            ResolveResult(
                hostname=host,
                host=node.addr[0].decode(),
                port=port,
                family=node.family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for node in found.nodes
        ]

    async def _asked(self, host: str, port: int, family: socket.AddressFamily) -> pycares.AddrInfoResult:
        """Ask; where no name server could be reached at all, once more by a new channel.

        The first channel of a process was seen to say so of its first questions, and the next one to get answers.
        """
        asker = self._opened()
        try:
            return await asker.getaddrinfo(host, family=family, port=port, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            if error.args[0] != pycares.errno.ARES_ECONNREFUSED:
                raise
        if self._asker is asker:
            self._asker = None  # other questions of the old channel come to their own end
        return await self._opened().getaddrinfo(host, family=family, port=port, type=socket.SOCK_STREAM)

    async def close(self) -> None:
        """End all questions that are under way."""
        asker, self._asker = self._asker, None
        if asker is not None:
            await asker.close()

    def _opened(self) -> aiodns.DNSResolver:
        if (
            self._asker is None
        ):  # a thread and a watch on two files, which a worker without names to ask for does without
            self._asker = aiodns.DNSResolver(
                self._name_servers or None,
                timeout=_FIRST_WAIT_SECONDS,
                tries=_TRIES,
                flags=self._flags,
                lookups="fb",
            )
        return self._asker
