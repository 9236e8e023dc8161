"""Who is connected and has not said who he is, by where he comes from.

A head that does not end and a socket that does not sign in are closed after
some seconds. Until then each takes memory and a descriptor, and one address
could have any number of them.
"""

from collections import Counter
from collections.abc import Sequence

from app.utils.ip import Network, client_network, is_trusted


class Strangers:
    """Counts strangers, so that one address has only so many at a time.

    A proxy of ours is no stranger: it speaks for many.

    Args:
        most: How many one address may have; of IPv6, one /64.
        trusted: Our proxies.
    """

    def __init__(self, most: int, trusted: Sequence[Network]) -> None:
        self._most = most
        self._trusted = trusted
        self._counts: Counter[str] = Counter()

    def enter(self, address: str | None) -> bool:
        """Count another one, and say so; or say that it is one too many."""
        if is_trusted(address, self._trusted):
            return True
        network = client_network(address)
        if self._counts[network] >= self._most:
            return False
        self._counts[network] += 1
        return True

    def leave(self, address: str | None) -> None:
        """Count one less who was counted: he has said who he is, or left."""
        if is_trusted(address, self._trusted):
            return
        network = client_network(address)
        if self._counts[network] > 1:
            self._counts[network] -= 1
        else:
            del self._counts[network]
