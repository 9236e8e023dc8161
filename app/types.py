"""Names for values that would otherwise be any string or number."""

from typing import Literal, NewType

UserId = NewType("UserId", str)
"""Keycloak's `sub`."""
Username = NewType("Username", str)
RequestId = NewType("RequestId", str)
Token = NewType("Token", str)
"""An encoded JWT, without `Bearer `."""

Header = tuple[bytes, bytes]
"""A header of HTTP as the server has it, its name in lower case."""

AuditOutcome = Literal["success", "error", "permission_denied"]
Protocol = Literal["http", "ws"]
"""How a request came."""
