"""Objects in Keycloak whose resource is gone, and nobody has noticed.

An event of a deletion can be missed: the operator or Keycloak was away, or
the whole namespace went. Such an object is found by comparison, and is not
removed before its resource has been missing for a while of looking at
everything, from the first look on. A look that failed begins the while anew.
"""

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

ObjectT = TypeVar("ObjectT", bound=Hashable)


class Orphans(Generic[ObjectT]):
    """Remembers since when objects have been without a resource.

    Args:
        grace: How long they stay, in seconds.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since: dict[ObjectT, float] = {}

    def look(
        self, owned: Mapping[ObjectT, str], there: Collection[str], now: float
    ) -> list[ObjectT]:
        """Return the objects that are to go.

        Args:
            owned: The UID of the resource of each object.
            there: The UIDs of all resources.
            now: Monotonic seconds.
        """
        self._since = {
            one: self._since.get(one, now)
            for one, uid in owned.items()
            if uid not in there
        }
        return [
            one
            for one, since in self._since.items()
            if now - since >= self._grace
        ]

    def lost_sight(self) -> None:
        """Begin anew: nobody knows what happened meanwhile."""
        self._since.clear()
