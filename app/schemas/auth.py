"""Signing in, as clients send and see it."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.constants import MAX_NAME_LENGTH, TOKEN_MAX_BYTES
from app.schemas.page import Input


class LoginInput(Input):
    """A user name and a password."""

    username: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class RefreshInput(Input):
    """A refresh token, to renew or to end its session."""

    refresh_token: Annotated[
        str, Field(min_length=1, max_length=TOKEN_MAX_BYTES)
    ]


class TokenSet(BaseModel):
    """What Keycloak gives for a password or a refresh token.

    `expires_in` is the access token's remaining life in seconds.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str
