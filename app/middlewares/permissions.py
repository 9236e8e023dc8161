"""Who may send which request: decided before anything else looks at it."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import bearer_token
from app.exceptions import PermissionDenied
from app.routing import HTTPRoute, RouteTable
from app.schemas.user import UserModel

if TYPE_CHECKING:
    from app.lifespan import Container


class PermAuthHTTPMiddleware:
    """Signs the user in and asks the role map, on the route's template.

    A public route is served without a look at the token. `HEAD` goes on as
    `GET`: the server leaves out the body.

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
            PermissionDenied: The user's roles do not permit it.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            method = "GET"
            scope = {**scope, "method": method}
        route = self.routes.resolve(method, scope["path"])
        if not route.public:
            scope["user"] = await _permitted_user(scope, method, route)
        await self.app(scope, receive, send)


async def _permitted_user(
    scope: Scope, method: str, route: HTTPRoute
) -> UserModel:
    container: Container = scope["state"]["container"]
    user = await container.auth.authenticate(_token(scope))
    if not container.rbac.check_http_permission(method, route.template, user):
        raise PermissionDenied(f"http {method} {route.template}")
    return user


def _token(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bearer_token(value.decode("latin-1"))
    return bearer_token(None)
