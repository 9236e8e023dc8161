"""Signing in and out."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Response

from app.api.http.problems import responses
from app.dependencies import IdentityProviderDep, SessionsDep
from app.schemas.auth import LoginInput, RefreshInput, TokenSet


async def never_stored(response: Response) -> None:
    """Tell every cache on the way to keep nothing (RFC 6749, 5.1)."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(
    prefix="/auth",
    tags=["auth"],
    dependencies=[Depends(never_stored)],
    responses=responses(401, 422, 503),
)


@router.post("/login")
async def login(data: LoginInput, provider: IdentityProviderDep) -> TokenSet:
    """Exchange a user name and a password for tokens."""
    return await provider.login(data.username, data.password)


@router.post("/refresh")
async def refresh(
    data: RefreshInput, provider: IdentityProviderDep
) -> TokenSet:
    """Exchange a refresh token for new tokens."""
    return await provider.refresh(data.refresh_token)


@router.post("/logout", status_code=HTTPStatus.NO_CONTENT)
async def logout(
    data: RefreshInput, provider: IdentityProviderDep, sessions: SessionsDep
) -> None:
    """End the session that a refresh token belongs to."""
    await provider.logout(data.refresh_token)
    sessions.end_session_of(data.refresh_token)
