"""A custom resource as it is in the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Key(NamedTuple):
    """Which resource."""

    kind: str
    name: str


@dataclass(frozen=True)
class Resource:
    """A custom resource; spec and status are as the API server has them."""

    kind: str
    name: str
    namespace: str
    uid: str
    generation: int
    version: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Resource":
        """Read what the API server has sent."""
        metadata = body["metadata"]
        return cls(
            kind=body["kind"],
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata["generation"],
            version=int(metadata["resourceVersion"]),
            spec=body.get("spec") or {},
            status=body.get("status") or {},
        )

    @property
    def key(self) -> Key:
        """Which one it is."""
        return Key(self.kind, self.name)

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Return a condition; an empty one if it has none of this type."""
        for one in self.status.get("conditions") or ():
            if one["type"] == kind:
                found: Mapping[str, Any] = one
                return found
        return {}
