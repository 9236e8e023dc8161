"""What every request passes through, from the outside in."""

from starlette.middleware import Middleware

from app.middlewares.body_limit import BodyLimitMiddleware
from app.middlewares.context import RequestContextMiddleware
from app.middlewares.deadline import DeadlineMiddleware
from app.middlewares.errors import ErrorsMiddleware
from app.middlewares.permissions import PermAuthHTTPMiddleware
from app.routing import RouteTable
from app.settings import Settings


def middlewares(settings: Settings, routes: RouteTable) -> list[Middleware]:
    """Return the chain; its order is part of its meaning.

    The id comes first because errors tell it, errors before everything that
    raises them, the deadline before whatever may wait, and permissions last
    so that nothing stands between them and the route.
    """
    return [
        Middleware(RequestContextMiddleware),
        Middleware(ErrorsMiddleware),
        Middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes),
        Middleware(
            DeadlineMiddleware, seconds=settings.request_timeout_seconds
        ),
        Middleware(PermAuthHTTPMiddleware, routes=routes),
    ]
