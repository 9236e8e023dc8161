"""The composition root: the only module that sees every layer."""

import os
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__, apps
from app.api.ws.consumers.web import serve_socket
from app.lifespan import make_lifespan
from app.logging import configure_logging
from app.managers.rbac_manager import Catalogue, RBACManager
from app.middlewares import middlewares
from app.middlewares.direct_route import (
    DirectRouteMiddleware,
    endpoints,
)
from app.routing import (
    PackageRouter,
    RouteTable,
    collect_pkg_routers,
    collect_subrouters,
    function_name,
)
from app.schemas.permissions import (
    Permission,
    PermissionMapError,
    load_file,
)
from app.settings import (
    DEFAULT_EXCLUDED_PATHS,
    ConfigurationError,
    Settings,
    load_settings,
    misspelt,
)
from app.utils.tracing import is_untraced

if TYPE_CHECKING:
    from app.utils.span_export import SpanExport

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Surface:
    """All that clients can ask for, over either protocol."""

    routers: tuple[APIRouter, ...]
    routes: RouteTable
    packages: PackageRouter

    @property
    def endpoints(self) -> list[BaseRoute]:
        """The framework's routes of HTTP."""
        return [route for r in self.routers for route in r.routes]

    @property
    def catalogue(self) -> Catalogue:
        """What the role map must and may speak of."""
        return Catalogue(
            ws={
                int(package.pkg_id): package.pkg_id.name
                for package in self.packages
                if not package.public
            },
            http={
                route.template: route.methods or frozenset({"*"})
                for route in self.routes
                if not route.public
            },
            handlers=dict(self._handlers()),
        )

    def _handlers(self) -> Iterator[tuple[str, str]]:
        for package in self.packages:
            line = Permission.ws(package.pkg_id.name)
            yield line, function_name(package.handler)
        for (method, template), route in endpoints(self.endpoints).items():
            line = Permission.http(method, template)
            yield line, function_name(route.endpoint)


def collect_surface(
    packages: Sequence[str] | None = None,
    *,
    excluded_paths: str = DEFAULT_EXCLUDED_PATHS,
    disabled: Collection[str] = (),
) -> Surface:
    """Find everything that these packages offer.

    Args:
        packages: Names of importable packages; None is ours and those of
            others that are installed.
        excluded_paths: Matches the template of every public route.
        disabled: Names of modules whose router is left out.

    Raises:
        ConfigurationError: The packages do not go together, or one of them
            cannot be imported.
    """
    packages = apps.packages() if packages is None else packages
    found = collect_subrouters(packages)
    routers = tuple(r for name, r in found.items() if name not in disabled)
    routes = [route for router in routers for route in router.routes]
    return Surface(
        routers,
        RouteTable(routes, excluded_paths),
        collect_pkg_routers(packages),
    )


def load_role_map(surface: Surface, path: Path) -> RBACManager:
    """Return a manager with the role map of a file in force.

    Raises:
        ConfigurationError: The map is wrong, or not about this surface.
    """
    rbac = RBACManager(surface.catalogue)
    try:
        rbac.apply(load_file(path), source=str(path), strict=True)
    except (PermissionMapError, OSError) as error:
        message = f"ACTIONS_FILE_PATH: {error}"
        raise ConfigurationError(message) from None
    return rbac


UNTRACED: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": is_untraced,
}


class _Api(FastAPI):
    """The framework, without its layers around our middlewares.

    They do nothing here: errors have been answered by then, and bodies are
    limited further in.
    """

    is_traced = False

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request or socket."""
        stack = self.middleware_stack
        if stack is None or self.is_traced:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Return our middlewares, with the framework behind them."""
        app: Any = super().build_middleware_stack()
        while self.user_middleware and not isinstance(
            app, cast("type", self.user_middleware[0].cls)
        ):
            app = app.app
        return cast("ASGIApp", app)


def make_api(
    surface: Surface,
    telemetry: TelemetryConfig = UNTRACED,
    **options: Any,
) -> FastAPI:
    """Return an application with these routes and nothing behind them."""
    api = _Api(
        title="Gatehouse",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=telemetry,
        exception_handlers={
            HTTPException: _raise,
            RequestValidationError: _raise,
        },
        **options,
    )
    # Not include_router, whose routers in routers cost each request more than
    # all of our own middlewares.
    api.router.routes.extend(surface.endpoints)
    api.router.middleware_stack = DirectRouteMiddleware(
        api.router.app, api.router
    )
    api.state.routes = surface.routes
    api.is_traced = telemetry is not UNTRACED
    return api


async def _raise(_: Request, error: Exception) -> NoReturn:
    """Leave the framework's errors to `ErrorsMiddleware`."""
    raise error


def create_app(
    settings: Settings, packages: Sequence[str] | None = None
) -> FastAPI:
    """Return the service, ready to be started by an ASGI server.

    Args:
        settings: The process's settings.
        packages: See `collect_surface`.

    Raises:
        ConfigurationError: The packages or the role map do not fit.
    """
    surface = collect_surface(
        packages,
        excluded_paths=settings.excluded_paths,
        disabled=_disabled(settings),
    )
    rbac = load_role_map(surface, settings.actions_file_path)
    telemetry, spans = UNTRACED, None
    if settings.otel_enabled:
        spans = _make_span_export(settings)
        provider = spans.provider
        telemetry = {**UNTRACED, "tracing": True, "tracer_provider": provider}
    return make_api(
        surface,
        telemetry,
        lifespan=make_lifespan(settings, surface.packages, rbac, spans),
        middleware=middlewares(
            settings, surface.routes, surface.endpoints, serve_socket
        ),
    )


def _make_span_export(settings: Settings) -> "SpanExport":
    """Import what only traces need, and an installation may do without.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        from app.utils.span_export import SpanExport  # noqa: PLC0415
    except ImportError as error:
        message = (
            f"OTEL_ENABLED: {error.name} is not installed; it comes with"
            " the extra `otel`"
        )
        raise ConfigurationError(message) from None
    pod = settings.pod_name or socket.gethostname()
    return SpanExport(settings.otel_service_name, pod)


def _disabled(settings: Settings) -> set[str]:
    switches = {
        "app.api.http.auth": settings.auth_login_enabled,
        "app.api.http.docs": settings.docs_enabled,
        "app.api.http.console": settings.docs_enabled,
    }
    return {module for module, enabled in switches.items() if not enabled}


def catalogue() -> Catalogue:
    """Return what the role map of this version must and may speak of."""
    return collect_surface().catalogue


def application() -> FastAPI:
    """Return the service with the settings of this process.

    Raises:
        SystemExit: A setting is missing or wrong; the message names it.
    """
    try:
        settings = load_settings()
        configure_logging(settings)
        app = create_app(settings)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    for warning in misspelt(os.environ):
        logger.warning("unknown setting", problem=warning)
    return app
