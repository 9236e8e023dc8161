"""Who has not said who he is, by where he comes from."""

from ipaddress import ip_network

from app.utils.strangers import Strangers

MOST = 2
PROXY = "10.1.2.3"


def test_one_address_has_its_number_again_and_again() -> None:
    """Who leaves makes room, and other addresses have theirs."""
    strangers = Strangers(MOST, ())
    for _ in range(3):
        assert strangers.enter("192.0.2.1")
        assert strangers.enter("192.0.2.1")
        assert not strangers.enter("192.0.2.1")
        assert strangers.enter("192.0.2.2")
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            strangers.leave(address)
    assert not strangers._counts


def test_an_ipv6_network_is_one_address() -> None:
    """Its customer has as many addresses as he likes."""
    strangers = Strangers(MOST, ())
    found = [strangers.enter(f"2001:db8::{number}") for number in range(3)]
    assert [True, True, False] == found


def test_our_proxies_are_no_strangers() -> None:
    """They speak for many, however they are written."""
    strangers = Strangers(MOST, (ip_network("10.0.0.0/8"),))
    for peer in (PROXY, f"::ffff:{PROXY}") * 3:
        assert strangers.enter(peer)
    strangers.leave(PROXY)
    assert not strangers._counts
