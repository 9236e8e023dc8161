"""Names for values that would otherwise be any string or number."""

from typing import Any, Literal, NewType, TypeAlias

UserId = NewType("UserId", str)
"""Keycloak's `sub`."""
Username = NewType("Username", str)
RequestId = NewType("RequestId", str)
Token = NewType("Token", str)
"""An encoded JWT, without `Bearer `."""

Protocol: TypeAlias = Literal["http", "ws"]
JSON: TypeAlias = dict[str, Any]
