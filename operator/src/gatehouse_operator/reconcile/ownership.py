"""Whose an object in Keycloak is.

It says so in three of its attributes: the resource that keeps it, that
resource's UID, and what becomes of it when the resource is gone. A resource
is named with its cluster, so that two clusters may share one Keycloak.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from gatehouse_operator.resources.base import Adopt, DeletionPolicy

OWNER: Final = "gatehouse.dev/owner"
UID: Final = "gatehouse.dev/owner-uid"
POLICY: Final = "gatehouse.dev/deletion-policy"
MARKS: Final = (OWNER, UID, POLICY)


@dataclass(frozen=True)
class Owner:
    """A resource, as an object in Keycloak names it."""

    cluster: str
    namespace: str
    name: str
    uid: str

    @property
    def path(self) -> str:
        """Where the resource is."""
        return f"{self.cluster}/{self.namespace}/{self.name}"

    def marks(self, policy: DeletionPolicy) -> dict[str, str]:
        """Return the attributes of what is ours."""
        return {OWNER: self.path, UID: self.uid, POLICY: policy}


class Claim(Enum):
    """Whether a resource may keep an object."""

    OURS = auto()
    TAKEN_OVER = auto()
    REFUSED = auto()


def claim(attributes: Mapping[str, str], owner: Owner, adopt: Adopt) -> Claim:
    """Say whether an object that is there may be kept by a resource.

    What an earlier resource of the same name has made is ours as well: two
    of one name cannot be there at once.

    Args:
        attributes: The object's.
        owner: The resource.
        adopt: What it says of objects that are not its own.
    """
    if attributes.get(UID) == owner.uid or (
        attributes.get(OWNER) == owner.path
    ):
        return Claim.OURS
    is_owned = bool(attributes.get(UID))
    if adopt == Adopt.FORCE or (adopt == Adopt.IF_UNOWNED and not is_owned):
        return Claim.TAKEN_OVER
    return Claim.REFUSED


def is_deleted_with(attributes: Mapping[str, str]) -> bool:
    """Say whether an object goes when its resource does.

    One whose policy cannot be read stays.
    """
    return attributes.get(POLICY) == DeletionPolicy.DELETE
