"""Who a request comes from."""

from pydantic import BaseModel, ConfigDict

from app.types import UserId, Username


class UserModel(BaseModel):
    """A user as his verified token describes him.

    `roles` joins the realm's roles and those of our own client;
    `expires_at` is the token's `exp` and `issued_at` its `iat`, in seconds
    since the epoch; `token_id` is its `jti`; `session_id` is Keycloak's
    `sid`, absent for service accounts.
    """

    model_config = ConfigDict(frozen=True)

    id: UserId
    username: Username
    roles: frozenset[str] = frozenset()
    expires_at: int
    issued_at: int = 0
    session_id: str | None = None
    token_id: str | None = None


ANONYMOUS = UserModel(id=UserId(""), username=Username(""), expires_at=0)
"""Nobody, who has no roles; what public handlers see."""
