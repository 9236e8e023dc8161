"""The last step to a route, which is known by now."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRouteMiddleware:
    """Hands a request to the framework's route for the template found.

    Left to itself the framework would try the path on every route again,
    which takes longer than the rest of what it does. What has no such route
    (a socket, a mount) goes the framework's way.

    Args:
        app: The framework's way.
        router: The framework's routes; none is added later.
    """

    def __init__(self, app: ASGIApp, router: APIRouter) -> None:
        self.app = app
        self._router = router
        self._routes = endpoints(router.routes)

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        found = scope.get("state", {}).get("route")
        route = found and self._routes.get((scope["method"], found.template))
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["router"] = self._router
        scope.update(route.matches(scope)[1])
        await route.handle(scope, receive, send)


def endpoints(
    routes: Iterable[BaseRoute],
) -> dict[tuple[str, str], APIRoute]:
    """Return the framework's route for each method and template.

    The first counts, as in the framework.
    """
    found: dict[tuple[str, str], APIRoute] = {}
    for route in routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                found.setdefault((method, route.path), route)
    return found
