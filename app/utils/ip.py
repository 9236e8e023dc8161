"""Whose client sent a request: an address that cannot be made up.

`X-Forwarded-For` is written by every proxy on the way and by the client
itself. It is read from the right, and only as long as whoever wrote the
entry is one of `TRUSTED_PROXIES`: the first hop that is not is the client.
Every other header that names an address is ignored.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from starlette.types import Scope

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_WITH_PORT: Final = re.compile(r"\[([^]]+)](?::\d+)?|([\d.]+):\d+")
_CLIENT_PREFIX = 64
"""What one customer of a provider has at least."""


def client_address(scope: Scope, trusted: Sequence[Network]) -> str | None:
    """Return who sent a request; None for a peer that has no address.

    Args:
        scope: The request's.
        trusted: Proxies whose `X-Forwarded-For` is believed.
    """
    peer = scope["client"][0] if scope.get("client") else ""
    address, text = _known(peer)
    if address is None or not _is_trusted(address, trusted):
        return text
    return str(_behind(address, _forwarded(scope), trusted))


@lru_cache(maxsize=4096)
def client_network(address: str | None) -> str:
    """Return what counts as one client: an address, or an IPv6 /64.

    Peers without an address, at a Unix socket, are one client together.
    """
    parsed = _parse(address or "")
    if not isinstance(parsed, IPv6Address):
        return address or "unknown"
    return str(ip_network((parsed, _CLIENT_PREFIX), strict=False))


def _behind(
    peer: Address, hops: Iterable[str], trusted: Sequence[Network]
) -> Address:
    """Follow the hops back to the first that is not ours.

    One that is malformed was not written by a proxy of ours; nothing that
    came with it is believed.
    """
    address = peer
    for hop in hops:
        parsed = _parse(_without_port(hop))
        if parsed is None:
            return peer
        address = parsed
        if not _is_trusted(address, trusted):
            break
    return address


def _forwarded(scope: Scope) -> Iterable[str]:
    """Return the entries of `X-Forwarded-For`, the last one first."""
    values = [
        value.decode("latin-1")
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
    ]
    entries = ",".join(values).split(",") if values else []
    return (entry.strip(" \t") for entry in reversed(entries))


def _without_port(hop: str) -> str:
    """Return the address of an entry; some proxies add the client's port."""
    found = _WITH_PORT.fullmatch(hop)
    return found[1] or found[2] if found else hop


@lru_cache(maxsize=4096)
def _known(peer: str) -> tuple[Address | None, str | None]:
    """Return the address of a peer, and how it is written."""
    address = _parse(peer.partition("%")[0])
    return address, None if address is None else str(address)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def is_trusted(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Say whether a peer is a proxy of ours."""
    address, _ = _known(peer or "")
    return address is not None and _is_trusted(address, trusted)


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
