"""What the worker allows itself when it downloads, and whether a URL keeps to it. Pure."""

from dataclasses import dataclass

from worker.download.urls import ImageUrl, expired, host_is_allowed, redacted
from worker.errors import ImageError, ImageReason


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What the worker allows itself. Sizes are in bytes, `backoff_factor` and `max_delay` in seconds.

    `connections` is the worker-wide cap on tries at a time. One job gets three quarters of them at most, and one host
    `connections_per_host`; 0 stands for three quarters as well, so that neither can take them all. `allowed_hosts` are
    patterns as `host_is_allowed` reads them; none allow every host. With `allow_private` (local runs) loopback and
    private addresses, any port, search domains, and redirects from https to http are let through. An empty `referer` is
    not sent. A body that comes at less than `slowest_bytes_per_second` for `slow_after_seconds` is given up.
    """

    max_bytes: int
    user_agent: str
    allow_private: bool
    backoff_factor: float
    max_delay: float
    connections: int
    referer: str = ""
    allowed_ports: frozenset[int] = frozenset({80, 443})
    max_redirects: int = 10
    connections_per_host: int = 0
    allowed_hosts: tuple[str, ...] = ()
    slowest_bytes_per_second: int = 1_024
    slow_after_seconds: float = 5.0

    def check(self, url: ImageUrl, now: float) -> None:
        """Raise ImageError where `url` may not be asked, or has expired by `now` (epoch seconds)."""
        if expired(url.text, now):
            raise ImageError(
                ImageReason.EXPIRED,
                f"the link expired: x-expires of {redacted(url.text)} has passed; get a fresh one",
            )
        if not host_is_allowed(url.host, self.allowed_hosts):
            raise ImageError(
                ImageReason.ADDRESS_REFUSED,
                f"the host of {redacted(url.text)} is refused; allowed: {', '.join(self.allowed_hosts)}",
            )
        if not self.allow_private and url.port not in self.allowed_ports:
            allowed = ", ".join(str(port) for port in sorted(self.allowed_ports))
            raise ImageError(
                ImageReason.ADDRESS_REFUSED, f"port {url.port} of {redacted(url.text)} is refused; allowed: {allowed}"
            )
