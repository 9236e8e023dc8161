"""A map on its way to the pods: numbered, and signed by whoever checked it.

Whoever can write to Redis, or change what is mounted, could else give himself
every permission. The signature binds the number to the digest, and the digest
is that of the map, so neither an old map under a new number nor another map
is taken for what was signed (HMAC-SHA256, RFC 2104).
"""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from app.schemas.permissions.document import parse_json
from app.schemas.permissions.model import PermissionMap
from app.schemas.permissions.names import PermissionMapError

MAP_KEY: Final = "rbac:map"
"""The sealed map in Redis."""
REVISION_KEY: Final = "rbac:revision"
"""Its number."""
CHANGED: Final = "rbac:changed"
"""The channel on which it is said that there is another one."""
ACKNOWLEDGED: Final = "ack:"
"""Before a pod's name: the key of what it says of the map."""
ACKNOWLEDGING: Final = "ack::pods"
"""The sorted set of pods that have said anything, by when they last did."""

_PURPOSE: Final = "gatehouse.dev/role-map"
_MOST: Final = 2**53
"""The first whole number after which numbers of JSON are not all whole."""
_FIELDS: Final = {
    "revision": "whole number",
    "digest": "text",
    "signature": "text",
}
_IS: Final[dict[str, Callable[[Any], bool]]] = {
    # `parse_json` reads every number as a float.
    "whole number": lambda value: (
        isinstance(value, float) and value.is_integer() and 0 < value < _MOST
    ),
    "text": lambda value: isinstance(value, str),
}


@dataclass(frozen=True, slots=True)
class SealedMap:
    """A map that a holder of the key has signed under this number."""

    revision: int
    permission_map: PermissionMap

    @property
    def digest(self) -> str:
        """The map's."""
        return self.permission_map.digest


class Acknowledgement(BaseModel):
    """What a pod says when a map is in force there.

    `pod` is one process of it, and `host` what Kubernetes calls it, if it
    does; `applied_at` is in seconds since the epoch; `swept` is how many
    sockets were told, and `sockets` how many are open now.
    """

    pod: str
    revision: int
    applied_at: float
    swept: int
    host: str | None = None
    sockets: int = 0


def seal(revision: int, permission_map: PermissionMap, key: bytes) -> bytes:
    """Write a map for the pods, as JSON.

    Args:
        revision: Higher than that of every map before it.
        permission_map: The map.
        key: What the pods know as well, and nobody else.
    """
    digest = permission_map.digest
    document = {
        "revision": revision,
        "digest": digest,
        "signature": _sign(revision, digest, key),
        "map": permission_map.model_dump(mode="json"),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def unseal(data: bytes, key: bytes, name: str) -> SealedMap:
    """Read a map, if a holder of the key has signed it.

    Args:
        data: What `seal` wrote.
        key: The key.
        name: What it is called in messages.

    Raises:
        PermissionMapError: It is not what `seal` wrote, or not with this
            key.
    """
    document = _parsed(data, name)
    revision, digest = int(document["revision"]), document["digest"]
    expected = _sign(revision, digest, key)
    if not hmac.compare_digest(
        expected.encode(), document["signature"].encode()
    ):
        raise PermissionMapError([f"{name}: not signed with our key"])
    try:
        permission_map = PermissionMap.parse(document.get("map"))
    except PermissionMapError as error:
        raise error.within(name) from None
    if permission_map.digest != digest:
        raise PermissionMapError([f"{name}: not the map that was signed"])
    return SealedMap(revision, permission_map)


def _parsed(data: bytes, name: str) -> dict[str, Any]:
    document = parse_json(data, name)
    if not isinstance(document, dict):
        raise PermissionMapError([f"{name}: is no JSON object"])
    findings = [
        f"{name}: {field} is missing, or no {kind}"
        for field, kind in _FIELDS.items()
        if not _IS[kind](document.get(field))
    ]
    if findings:
        raise PermissionMapError(findings)
    return document


def _sign(revision: int, digest: str, key: bytes) -> str:
    text = f"{_PURPOSE}\n{revision}\n{digest}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()
