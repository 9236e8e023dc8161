"""What a user is told about himself."""

from pydantic import BaseModel

from app.schemas.page import Input


class Nothing(Input):
    """Data of a message that needs none."""


class AuthenticateInput(Input):
    """Data of `AUTHENTICATE`."""

    token: str


class Permissions(BaseModel):
    """Lines of the role map, for each protocol."""

    http: list[str]
    ws: list[str]


class MeRead(BaseModel):
    """A user, what he may do, and until when his token says so.

    `expires_at` is in seconds since the epoch.
    """

    id: str
    username: str
    roles: list[str]
    permissions: Permissions
    expires_at: int
