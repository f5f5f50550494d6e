"""Which addresses the worker may connect to: the rules against server-side request forgery.

A manifest's URLs come from outside, and the worker runs next to endpoints that hand out credentials. The ranges are
those of IANA's special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry and
.../iana-ipv6-special-registry), plus multicast, broadcast, site-local and all that lies outside global unicast.
The registries' few globally reachable blocks (AS112, AMT, anycast services) are refused too: none serves images.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_LOOPBACK = "loopback"
_PRIVATE = "private use"
_UNIQUE_LOCAL = "unique local"
_MAPPED = "IPv4-mapped"
_COMPATIBLE = "IPv4-compatible"
_NAT64 = "NAT64"
_SIX_TO_FOUR = "6to4"
_TEREDO = "Teredo"

# What local runs may reach. Link-local is left out on purpose, as are AWS's own unique local addresses: a task's
# credentials and the ECS agent answer at 169.254.170.2, instance metadata at 169.254.169.254 and fd00:ec2::254,
# and a laptop that runs the worker may well have such an endpoint of its own.
_ADMITTED_LOCALLY = frozenset({_LOOPBACK, _PRIVATE, _UNIQUE_LOCAL})

# A mapped address is IPv4 on the wire, and NAT64 is how an IPv6-only subnet reaches IPv4 origins (RFC 6147): both are
# as good as the address inside. The other transition forms are refused even around a public address: 6to4, Teredo and
# IPv4-compatible are historic, and who relays them decides where they end.
_AS_GOOD_AS_INNER = frozenset({_MAPPED, _NAT64})

_V4_RANGES = tuple(
    (IPv4Network(block), name)
    for block, name in (
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", _PRIVATE),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", _LOOPBACK),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", _PRIVATE),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay anycast"),
        ("192.168.0.0/16", _PRIVATE),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)

# The first match names the range, so the narrow ones stand before those that hold them.
_V6_RANGES = tuple(
    (IPv6Network(block), name)
    for block, name in (
        ("::/128", "unspecified"),
        ("::1/128", _LOOPBACK),
        ("::/96", _COMPATIBLE),
        ("::ffff:0:0/96", _MAPPED),
        ("64:ff9b::/96", _NAT64),
        # How an address is embedded here is each operator's choice (RFC 8215), so the inner one cannot be judged.
        ("64:ff9b:1::/48", "local-use NAT64"),
        ("100::/64", "discard-only"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/32", _TEREDO),
        ("2001:2::/48", "benchmarking"),
        ("2001:3::/32", "AMT"),
        ("2001:4:112::/48", "AS112"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHIDv2"),
        ("2001:30::/28", "drone remote ID"),
        ("2001::/23", "IETF protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", _SIX_TO_FOUR),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fd00:ec2::/32", "AWS instance services"),
        ("fc00::/7", _UNIQUE_LOCAL),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# Interface identifiers of ISATAP (RFC 5214): 0000:5efe, or 0200:5efe around a globally unique IPv4 address.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def refusal(address: Address, *, allow_private: bool = False) -> str | None:
    """Name the special range that keeps us from connecting to `address`; None where we may connect.

    `allow_private` (local runs) admits loopback, RFC 1918 and unique local addresses, and nothing else.
    """
    name = _range_name(address)
    if allow_private and name in _ADMITTED_LOCALLY:
        name = None
    if isinstance(address, IPv4Address):
        return name
    for form, inner in _embedded(address):
        if inside := refusal(inner, allow_private=allow_private):
            return f"{inside} inside {form}"
    return None if name in _AS_GOOD_AS_INNER else name


def _range_name(address: Address) -> str | None:
    ranges = _V4_RANGES if isinstance(address, IPv4Address) else _V6_RANGES
    for network, name in ranges:
        if address in network:
            return name
    if isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST:
        return None
    return "outside global unicast"


def _embedded(address: IPv6Address) -> Iterator[tuple[str, IPv4Address]]:
    """Yield every IPv4 address that routers or hosts may read out of `address`, with the form it is in."""
    bits = int(address)
    low = IPv4Address(bits & 0xFFFF_FFFF)
    form = _range_name(address)
    if form in (_MAPPED, _COMPATIBLE, _NAT64):
        yield form, low
    elif form == _SIX_TO_FOUR:
        yield form, IPv4Address(bits >> 80 & 0xFFFF_FFFF)
    elif form == _TEREDO:
        yield form, IPv4Address(bits >> 64 & 0xFFFF_FFFF)  # the server
        yield form, IPv4Address(~bits & 0xFFFF_FFFF)  # the client, stored inverted (RFC 4380)
    # An ISATAP identifier may stand under any prefix, a global one included.
    if bits >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield "ISATAP", low
