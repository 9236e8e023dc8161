"""Who may send which request: decided before anything else looks at it."""

from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import bearer_token
from app.exceptions import PermissionDenied, Unauthenticated, Unavailable
from app.logging import log_context
from app.middlewares.rate_limit import charge, is_limited
from app.routing import HTTPRoute, RouteTable
from app.schemas.user import UserModel
from app.storage.audit import Action

if TYPE_CHECKING:
    from app.lifespan import Container

WRITES: Final = frozenset({"DELETE", "PATCH", "POST", "PUT"})
"""Methods that may change what is stored."""


class PermAuthHTTPMiddleware:
    """Signs the user in and asks the role map, on the route's template.

    A public route is served without a look at the token. What no route
    answers is counted like the rest, and nothing more is asked of its client.
    A route whose body is signed costs its address something only if it is
    refused. `HEAD` goes on as `GET`: the server leaves out the body.

    Args:
        routes: The table of all routes.
    """

    def __init__(self, app: ASGIApp, routes: RouteTable) -> None:
        self.app = app
        self.routes = routes

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request.

        Raises:
            NotFound: No route has this path.
            MethodNotAllowed: The path has no such method.
            Unauthenticated: The route needs a user and there is none.
            RateLimited: The user, or the address, has asked too often.
            PermissionDenied: The user's roles do not permit it.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            method = "GET"
            scope = {**scope, "method": method}
        route = scope["state"].get("route")
        if route is None:
            if is_limited(scope["state"]["place"]):
                await charge(scope, await _user_if_any(scope))
            route = self.routes.resolve(method, scope["path"])
        if not route.public:
            scope["user"] = await _permitted_user(scope, method, route)
        elif route.signed:
            await self._serve_signed(scope, receive, send)
            return
        else:
            await charge(scope, None)
        await self.app(scope, receive, send)

    async def _serve_signed(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await self.app(scope, receive, send)
        except Unavailable:
            raise
        except Exception:
            await charge(scope, None)
            raise


async def _permitted_user(
    scope: Scope, method: str, route: HTTPRoute
) -> UserModel:
    container: Container = scope["state"]["container"]
    try:
        user = await _signed_in(scope)
    except Unauthenticated:
        await charge(scope, None)
        raise
    scope["state"]["action"] = _action(scope, method, route, user)
    await charge(scope, user)
    if not container.rbac.check_http_permission(method, route.template, user):
        raise PermissionDenied(f"http {method} {route.template}")
    return user


async def _user_if_any(scope: Scope) -> UserModel | None:
    """Return who asks; a token that cannot be checked is nobody's."""
    try:
        return await _signed_in(scope)
    except (Unauthenticated, Unavailable):
        return None


async def _signed_in(scope: Scope) -> UserModel:
    container: Container = scope["state"]["container"]
    user = await container.auth.authenticate(_token(scope))
    log_context()["user"] = user.id
    return user


def _action(
    scope: Scope, method: str, route: HTTPRoute, user: UserModel
) -> Action:
    return Action(
        user=user,
        protocol="http",
        name=f"http {method} {route.template}",
        writes=method in WRITES,
        address=scope["state"]["address"],
        req_id=scope["state"]["request_id"],
        resource=route.resource(scope["path"]),
    )


def _token(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bearer_token(value.decode("latin-1"))
    return bearer_token(None)
