"""The address rules: boundary cases around each special range, and every way to hide an IPv4 address in IPv6."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.download.addresses import refusal

# Block, an address just below and one just above it that are admitted (None where another special range begins).
V4_BLOCKS = [
    ("0.0.0.0/8", "unspecified", None, "1.0.0.0"),
    ("10.0.0.0/8", "private use", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0/10", "shared address space", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0/8", "loopback", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0/16", "link-local", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0/12", "private use", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0/24", "IETF protocol assignments", "191.255.255.255", "192.0.1.0"),
    ("192.0.2.0/24", "documentation", "192.0.1.255", "192.0.3.0"),
    ("192.31.196.0/24", "AS112", "192.31.195.255", "192.31.197.0"),
    ("192.52.193.0/24", "AMT", "192.52.192.255", "192.52.194.0"),
    ("192.88.99.0/24", "6to4 relay anycast", "192.88.98.255", "192.88.100.0"),
    ("192.168.0.0/16", "private use", "192.167.255.255", "192.169.0.0"),
    ("192.175.48.0/24", "AS112", "192.175.47.255", "192.175.49.0"),
    ("198.18.0.0/15", "benchmarking", "198.17.255.255", "198.20.0.0"),
    ("198.51.100.0/24", "documentation", "198.51.99.255", "198.51.101.0"),
    ("203.0.113.0/24", "documentation", "203.0.112.255", "203.0.114.0"),
    ("224.0.0.0/4", "multicast", "223.255.255.255", None),
    ("240.0.0.0/4", "reserved", None, None),
]
V6_BLOCKS = [
    ("::/128", "unspecified", None, None),
    ("::1/128", "loopback", None, None),
    ("100::/64", "discard-only", None, None),
    ("100:0:0:1::/64", "dummy prefix", None, None),
    ("64:ff9b:1::/48", "local-use NAT64", None, None),
    ("2001::/32", "Teredo", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    ("2001:2::/48", "benchmarking", None, None),
    ("2001:3::/32", "AMT", None, None),
    ("2001:4:112::/48", "AS112", None, None),
    ("2001:10::/28", "ORCHID", None, None),
    ("2001:20::/28", "ORCHIDv2", None, None),
    ("2001:30::/28", "drone remote ID", None, None),
    ("2001:40::/26", "IETF protocol assignments", None, None),
    ("2001:100::/24", "IETF protocol assignments", None, "2001:200::"),
    ("2001:db8::/32", "documentation", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
    ("2002::/16", "6to4", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
    ("2620:4f:8000::/48", "AS112", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"),
    ("3fff::/20", "documentation", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
    ("5f00::/16", "segment routing", None, None),
    ("fc00::/8", "unique local", None, None),
    ("fd00:ec2::/32", "AWS instance services", None, None),
    ("fe80::/10", "link-local", None, None),
    ("fec0::/10", "site-local", None, None),
    ("ff00::/8", "multicast", None, None),
    ("4000::/4", "outside global unicast", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
]
NEVER_ADMITTED = [
    "0.0.0.0",
    "0.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "febf:ffff::1",
    "fe80::a9fe:a9fe",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::a9fe:aa02",
    "64:ff9b::a9fe:a9fe",
    "fd12::5efe:a9fe:a9fe",
]
# What `is_global` or a plain list of networks lets through.
HIDDEN = [
    ("64:ff9b::a9fe:aa02", "link-local inside NAT64"),
    ("64:ff9b::7f00:1", "loopback inside NAT64"),
    ("2002:7f00:1::", "loopback inside 6to4"),
    ("2002:a9fe:a9fe::1", "link-local inside 6to4"),
    ("::127.0.0.1", "loopback inside IPv4-compatible"),
    ("::ffff:10.0.0.1", "private use inside IPv4-mapped"),
    ("::ffff:224.0.0.1", "multicast inside IPv4-mapped"),
    ("2001:0:a9fe:a9fe:8000:63bf:f7f7:f7f7", "link-local inside Teredo"),  # the server; the client is 8.8.8.8
    ("2001:0:0808:0808:8000:63bf:5601:5601", "link-local inside Teredo"),  # the client, inverted
    ("2a00:1450:4001:81b:0:5efe:127.0.0.1", "loopback inside ISATAP"),
    ("2a00:1450:4001:81b:200:5efe:10.0.0.1", "private use inside ISATAP"),
    ("fd00::5efe:192.168.0.1", "private use inside ISATAP"),
    ("64:ff9b:1::8.8.8.8", "local-use NAT64"),
    ("2002:808:808::1", "6to4"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:0:127.0.0.1", "outside global unicast"),
]
ADMITTED = [
    "1.1.1.1",
    "8.8.8.8",
    "52.95.110.1",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2a00:1450:4001:81b:0:5efe:8.8.8.8",
]

v4_addresses = st.one_of(
    st.ip_addresses(v=4),
    st.sampled_from(V4_BLOCKS).flatmap(lambda row: st.ip_addresses(v=4, network=row[0])),
)
prefixes = st.integers(0, 2**64 - 1)
EMBEDDINGS: list[Callable[[int, int], int]] = [
    lambda v4, _: 0xFFFF << 32 | v4,
    lambda v4, _: v4,
    lambda v4, _: 0x0064_FF9B << 96 | v4,
    lambda v4, _: 0x0064_FF9B_0001 << 80 | v4,
    lambda v4, noise: 0x2002 << 112 | v4 << 80 | noise,
    lambda v4, noise: 0x2001_0000 << 96 | v4 << 64 | noise,
    lambda v4, noise: 0x2001_0000 << 96 | noise >> 32 << 64 | (~v4 & 0xFFFF_FFFF),
    lambda v4, noise: noise << 64 | 0x0000_5EFE << 32 | v4,
    lambda v4, noise: noise << 64 | 0x0200_5EFE << 32 | v4,
]


@pytest.mark.parametrize(("block", "name", "below", "above"), [*V4_BLOCKS, *V6_BLOCKS])
def test_a_special_range_is_refused_from_its_first_address_to_its_last_and_no_further(
    block: str, name: str, below: str | None, above: str | None
) -> None:
    network = IPv4Network(block) if "." in block else IPv6Network(block)
    assert (refusal(network[0]) or "").endswith(name)
    assert refusal(network[-1]) is not None
    assert refusal(network[network.num_addresses // 2]) is not None
    for outside in (below, above):
        if outside is not None:
            assert refusal(ip_address(outside)) is None


@pytest.mark.parametrize(
    ("address", "name"),
    [("0.0.0.1", "this network"), ("255.255.255.255", "broadcast"), ("255.255.255.254", "reserved")],
)
def test_a_narrow_range_inside_a_wide_one_has_its_own_name(address: str, name: str) -> None:
    assert refusal(ip_address(address)) == name


@pytest.mark.parametrize(("address", "name"), HIDDEN)
def test_an_address_hidden_inside_another_is_found(address: str, name: str) -> None:
    assert refusal(ip_address(address)) == name


@pytest.mark.parametrize("address", ADMITTED)
def test_public_addresses_are_admitted(address: str) -> None:
    assert refusal(ip_address(address)) is None
    assert refusal(ip_address(address), allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.255", "::1", "10.0.0.1", "172.31.255.255", "192.168.1.1", "fd12:3456::1", "fc00::",
        "fd00:ec1:ffff::1", "fd00:ec3::", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::c0a8:101",
    ],
)  # fmt: skip
def test_local_runs_may_reach_loopback_and_private_networks(address: str) -> None:
    assert refusal(ip_address(address)) is not None
    assert refusal(ip_address(address), allow_private=True) is None


@pytest.mark.parametrize("address", NEVER_ADMITTED)
def test_credentials_and_nonsense_stay_out_of_reach_in_local_runs_too(address: str) -> None:
    assert refusal(ip_address(address), allow_private=True) is not None


def test_a_zone_does_not_hide_an_address() -> None:
    assert refusal(IPv6Address("fe80::1%eth0")) == "link-local"
    assert refusal(IPv6Address("2a00:1450::5efe:127.0.0.1%1")) is not None


@given(v4=v4_addresses, noise=prefixes, embed=st.sampled_from(EMBEDDINGS), allow_private=st.booleans())
def test_every_embedding_of_a_refused_address_is_refused(
    v4: IPv4Address, noise: int, embed: Callable[[int, int], int], allow_private: bool
) -> None:
    assume(refusal(v4, allow_private=allow_private) is not None)
    outer = IPv6Address(embed(int(v4), noise))
    assume(outer != IPv6Address("::1"))  # looks like 0.0.0.1 inside IPv4-compatible, and is loopback
    assert refusal(outer, allow_private=allow_private) is not None


@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6, network="2000::/3")))
def test_what_no_registry_lists_is_admitted(address: IPv4Address | IPv6Address) -> None:
    blocks = V4_BLOCKS if isinstance(address, IPv4Address) else V6_BLOCKS
    assume(not any(address in (IPv4Network(b) if "." in b else IPv6Network(b)) for b, *_ in blocks))
    assume(int(address) >> 32 & 0xFDFF_FFFF != 0x5EFE)
    assert refusal(address) is None


@given(address=st.ip_addresses())
def test_what_the_standard_library_calls_special_is_never_admitted(address: IPv4Address | IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_unspecified
    nat64 = isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96")
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    if special and not nat64 and not mapped:
        assert refusal(address) is not None


@given(address=st.ip_addresses())
def test_local_runs_are_refused_nothing_that_others_may_reach(address: IPv4Address | IPv6Address) -> None:
    if refusal(address) is None:
        assert refusal(address, allow_private=True) is None
