"""How much may be asked for over HTTP, and what clients are told of it.

Who is charged is known only further in, where `PermAuthHTTPMiddleware` calls
`charge`; the answer then tells where the client stands, whatever it is.
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from app.routing import HTTPRoute
from app.schemas.user import UserModel
from app.utils.rate_limiter import Limits, rate_limit_headers
from app.utils.rate_limiter.verdict import Verdict

if TYPE_CHECKING:
    from app.lifespan import Container


class RateLimitMiddleware:
    """Refuses an address that has used up its budget, before anything else.

    Probes, metrics and the documentation are never limited.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve one request.

        Raises:
            RateLimited: The address has asked too often.
        """
        if scope["type"] == "http":
            state = scope["state"]
            if is_limited(state["place"]):
                _limits(scope).refuse_exhausted(state["address"])
        return self.app(scope, receive, send)


def is_limited(place: HTTPRoute | None) -> bool:
    """Say whether what is asked of a path counts; None is one of no route."""
    return place is None or place.limited


async def charge(scope: Scope, user: UserModel | None) -> None:
    """Count a request, as its user's or, without one, as its address'.

    Raises:
        RateLimited: It was too much.
    """
    limits = _limits(scope)
    if not is_limited(scope["state"]["place"]) or not limits.is_enabled:
        return
    if user is None:
        await charge_address(scope)
    else:
        _tell(scope, await limits.spend_request(user.id))


async def charge_address(scope: Scope) -> None:
    """Count a request, or a handshake, as its address'.

    Raises:
        RateLimited: It was too much.
    """
    limits = _limits(scope)
    if limits.is_enabled:
        address = scope["state"]["address"]
        _tell(scope, await limits.spend_address(address))


def _tell(scope: Scope, verdict: Verdict) -> None:
    """Add where the client stands to its answer, if that has not begun."""
    limits, answering = _limits(scope), scope["state"]["answering"]
    if not answering.status:
        answering.headers += rate_limit_headers(
            limits.requests + limits.burst,
            verdict.remaining,
            verdict.reset_seconds,
        )


def _limits(scope: Scope) -> Limits:
    container: Container = scope["state"]["container"]
    return container.limits
