"""A client's address is what a proxy of ours says, and nothing else."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.ip import client_address, client_network

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def address(peer: str | None, *forwarded: str) -> str | None:
    """Return the client's address of a request with these headers."""
    headers = [(b"x-forwarded-for", f.encode("latin-1")) for f in forwarded]
    client = None if peer is None else (peer, 1)
    return client_address({"client": client, "headers": headers}, TRUSTED)


@pytest.mark.parametrize(
    ("expected", "peer", "forwarded"),
    [
        ("192.0.2.1", "192.0.2.1", []),
        ("192.0.2.1", "192.0.2.1", ["198.51.100.7"]),
        ("198.51.100.7", "10.0.0.1", ["198.51.100.7"]),
        ("198.51.100.7", "10.0.0.1", ["203.0.113.9, 198.51.100.7"]),
        ("198.51.100.7", "10.0.0.1", ["1.2.3.4, 198.51.100.7, 10.0.0.2"]),
        ("198.51.100.7", "10.0.0.1", ["1.2.3.4, 198.51.100.7", "10.9.9.9"]),
        ("10.0.0.3", "10.0.0.1", ["10.0.0.3, 10.0.0.2"]),
        ("10.0.0.1", "10.0.0.1", []),
        ("10.0.0.1", "10.0.0.1", ["198.51.100.7, nonsense"]),
        ("10.0.0.1", "10.0.0.1", [""]),
        ("198.51.100.7", "10.0.0.1", ["1.2.3.4, 198.51.100.7:4711"]),
        ("10.0.0.1", "10.0.0.1", ["198.51.100.7, nonsense, 10.0.0.2"]),
        ("2001:db8::1", "fd00::1", ["2001:db8:0::1"]),
        ("198.51.100.7", "::ffff:10.0.0.1", ["::ffff:198.51.100.7"]),
        ("fe80::1", "fe80::1%eth0", []),
        (None, None, ["198.51.100.7"]),
        (None, "", []),
    ],
)
def test_client_address(
    expected: str | None, peer: str | None, forwarded: list[str]
) -> None:
    """The first hop from the right that no trusted proxy wrote itself."""
    assert expected == address(peer, *forwarded)


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_anything_from_a_stranger(text: str) -> None:
    """Whatever a client writes, without a trusted proxy it is himself."""
    assert "192.0.2.1" == address("192.0.2.1", text)


@given(
    st.text(alphabet=st.characters(max_codepoint=255)),
    st.ip_addresses().filter(
        lambda ip: not any(ip in network for network in TRUSTED)
    ),
)
def test_anything_before_a_proxy(text: str, client: object) -> None:
    """What a client writes itself comes before what our proxy appends."""
    seen = getattr(client, "ipv4_mapped", None) or client
    assert str(ip_address(str(seen))) == address(
        "10.0.0.1", f"{text}, {client}"
    )


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.2.1:", "10.0.0.1"),
        ("[192.0.2.1", "10.0.0.1"),
    ],
)
def test_a_hop_may_have_a_port(hop: str, expected: str) -> None:
    """Some proxies append it; what is malformed was not written by ours."""
    assert expected == address("10.0.0.1", hop)


@pytest.mark.parametrize(
    ("expected", "given_address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::/64", "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1:2::/64", "2001:db8:1:2:ffff::1"),
        ("unknown", None),
    ],
)
def test_client_network(expected: str, given_address: str | None) -> None:
    """One client is an IPv4 address, or the /64 of an IPv6 address."""
    assert expected == client_network(given_address)
