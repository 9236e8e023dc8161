"""Names for values that would otherwise be any string or number."""

from typing import NewType

UserId = NewType("UserId", str)
"""Keycloak's `sub`."""
Username = NewType("Username", str)
RequestId = NewType("RequestId", str)
Token = NewType("Token", str)
"""An encoded JWT, without `Bearer `."""
