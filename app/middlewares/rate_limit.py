"""How much may be asked for over HTTP, and what clients are told of it.

`RateLimitMiddleware` stands outside of what turns errors into answers, so
that refusals and errors tell where the client stands too. Who is charged is
known only further in: `PermAuthHTTPMiddleware` calls `charge`.
"""

from functools import cache
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.constants import PROBES
from app.exceptions import RateLimited
from app.routing import HTTPRoute
from app.schemas.user import UserModel
from app.utils.problems import problem_response
from app.utils.rate_limiter import Limits, Verdict, rate_limit_headers

if TYPE_CHECKING:
    from app.lifespan import Container

_DOCS = frozenset({"docs", "openapi.json", "asyncapi.json", "console"})
_VERDICT = "rate_limit_verdict"


class RateLimitMiddleware:
    """Refuses an address that has used up its budget, before anything else.

    Probes, metrics and the documentation are never limited.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _limits(scope).is_enabled:
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        limits = _limits(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and _VERDICT in state:
                _add_headers(message, limits, state[_VERDICT])
            await send(message)

        try:
            if is_limited(state["route"]):
                limits.refuse_exhausted(state["address"])
        except RateLimited as error:
            response = problem_response(error, state["request_id"])
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send_with_headers)


async def charge(
    scope: Scope, route: HTTPRoute, user: UserModel | None
) -> None:
    """Count a request, as its user's or, without one, as its address'.

    Raises:
        RateLimited: It was too much.
    """
    if not is_limited(route):
        return
    limits = _limits(scope)
    state = scope["state"]
    if user is None:
        verdict = await limits.spend_address(state["address"])
    else:
        verdict = await limits.spend_request(user.id)
    state[_VERDICT] = verdict


def is_limited(route: HTTPRoute | None) -> bool:
    """Say whether requests of a route count at all."""
    return route is not None and _is_limited(route.template)


@cache
def _is_limited(template: str) -> bool:
    return template not in PROBES and template.split("/")[1] not in _DOCS


def _limits(scope: Scope) -> Limits:
    container: Container = scope["state"]["container"]
    return container.limits


def _add_headers(message: Message, limits: Limits, verdict: Verdict) -> None:
    capacity = limits.requests + limits.burst
    headers = MutableHeaders(scope=message)
    for name, value in rate_limit_headers(
        capacity, verdict.remaining, verdict.reset_seconds
    ).items():
        headers[name] = value
