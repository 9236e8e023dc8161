"""What every request passes through, from the outside in."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from app.middlewares.audit import AuditMiddleware
from app.middlewares.body_limit import BodyLimitMiddleware
from app.middlewares.context import RequestContextMiddleware
from app.middlewares.deadline import DeadlineMiddleware
from app.middlewares.direct_call import DirectCallMiddleware
from app.middlewares.errors import ErrorsMiddleware
from app.middlewares.management import ManagementPortMiddleware
from app.middlewares.permissions import PermAuthHTTPMiddleware
from app.middlewares.prometheus import PrometheusMiddleware
from app.middlewares.rate_limit import RateLimitMiddleware
from app.middlewares.span_name import SpanNameMiddleware
from app.middlewares.unit_of_work import UnitOfWorkMiddleware
from app.routing import RouteTable
from app.settings import Settings


def middlewares(
    settings: Settings,
    routes: RouteTable,
    endpoints: Sequence[BaseRoute],
    sockets: ASGIApp,
) -> list[Middleware]:
    """Return the chain; its order is part of its meaning.

    The id comes first because errors tell it, metrics before errors to count
    what these answer with, errors before everything that raises them, the
    deadline before whatever may wait, and permissions before all that is done
    for a user: a body that is too long is an action of his, too. The audit
    sees every answer; the unit of work stands next to the endpoint, so that
    what is answered has been committed.

    Args:
        settings: The process's settings.
        routes: The table of all routes.
        endpoints: The framework's routes.
        sockets: Serves sockets, which go no further than the first.
    """
    return [
        Middleware(
            RequestContextMiddleware,
            sockets=sockets,
            access_log=settings.access_log_enabled,
            traced=settings.otel_enabled,
            trusted_proxies=settings.trusted_proxies,
        ),
        Middleware(PrometheusMiddleware, routes=routes),
        *([Middleware(SpanNameMiddleware)] if settings.otel_enabled else []),
        Middleware(AuditMiddleware),
        Middleware(ErrorsMiddleware),
        Middleware(RateLimitMiddleware),
        *_management_port(settings),
        Middleware(DeadlineMiddleware),
        Middleware(PermAuthHTTPMiddleware, routes=routes),
        Middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes),
        Middleware(UnitOfWorkMiddleware),
        Middleware(DirectCallMiddleware, routes=endpoints),
    ]


def _management_port(settings: Settings) -> list[Middleware]:
    port = settings.management_port
    return [Middleware(ManagementPortMiddleware, port=port)] if port else []
