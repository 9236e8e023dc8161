"""Where Keycloak says that a session has ended.

OpenID Connect Back-Channel Logout 1.0. It is the quickest way to learn of a
log-out, and needs no user: what counts is Keycloak's signature.
"""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from app.api.http.problems import responses
from app.dependencies import LogoutTokensDep, SessionsDep
from app.exceptions import BadRequest
from app.schemas.session import Ended

_FORM: Final = "application/x-www-form-urlencoded"
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["logout_token"],
                    "properties": {"logout_token": {"type": "string"}},
                }
            }
        },
    }
}

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/backchannel-logout", responses=responses(400, 503), openapi_extra=_BODY
)
async def backchannel_logout(
    request: Request, tokens: LogoutTokensDep, sessions: SessionsDep
) -> Response:
    """End the session, or all of a user's, that a logout token names."""
    claims = await tokens.verify(_logout_token(await request.body()))
    if not await sessions.is_first(claims.jti):
        raise BadRequest("The logout token has been used")
    sessions.end(Ended(claims.whose, claims.iat))
    return Response(
        status_code=HTTPStatus.OK, headers={"Cache-Control": "no-store"}
    )


def _logout_token(body: bytes) -> str:
    fields = parse_qs(body.decode("latin-1"))
    values = fields.get("logout_token", [])
    if len(values) != 1:
        raise BadRequest("The form has no logout_token, or several")
    return values[0]
