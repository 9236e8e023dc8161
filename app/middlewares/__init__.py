"""What every request passes through, from the outside in."""

from starlette.middleware import Middleware

from app.middlewares.audit import AuditMiddleware
from app.middlewares.body_limit import BodyLimitMiddleware
from app.middlewares.context import RequestContextMiddleware
from app.middlewares.deadline import DeadlineMiddleware
from app.middlewares.errors import ErrorsMiddleware
from app.middlewares.management import ManagementPortMiddleware
from app.middlewares.permissions import PermAuthHTTPMiddleware
from app.middlewares.prometheus import PrometheusMiddleware
from app.middlewares.rate_limit import RateLimitMiddleware
from app.middlewares.unit_of_work import UnitOfWorkMiddleware
from app.routing import RouteTable
from app.settings import Settings


def middlewares(settings: Settings, routes: RouteTable) -> list[Middleware]:
    """Return the chain; its order is part of its meaning.

    The id comes first because errors tell it, metrics before errors to count
    what these answer with, errors before everything that raises them, the
    deadline before whatever may wait, and permissions before all that is done
    for a user. The audit sees every answer; the unit of work stands next to
    the route, so that what is answered has been committed.
    """
    return [
        Middleware(
            RequestContextMiddleware,
            access_log=settings.access_log_enabled,
            trusted_proxies=settings.trusted_proxies,
        ),
        Middleware(PrometheusMiddleware, routes=routes),
        Middleware(AuditMiddleware),
        Middleware(RateLimitMiddleware),
        Middleware(ErrorsMiddleware),
        *_management_port(settings),
        Middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes),
        Middleware(
            DeadlineMiddleware, seconds=settings.request_timeout_seconds
        ),
        Middleware(PermAuthHTTPMiddleware, routes=routes),
        Middleware(UnitOfWorkMiddleware),
    ]


def _management_port(settings: Settings) -> list[Middleware]:
    port = settings.management_port
    return [Middleware(ManagementPortMiddleware, port=port)] if port else []
