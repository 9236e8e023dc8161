"""The documents of both protocols and a page, with nothing from elsewhere.

The page's script and style are served by this process, because clusters are
often cut off from the internet.
"""

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from app.api.http.problems import (
    headers,
    limit_headers,
    responses,
    schema,
)
from app.api.ws.asyncapi import asyncapi_document
from app.constants import MAX_IDEMPOTENCY_KEY_LENGTH
from app.middlewares.permissions import WRITES
from app.routing import HTTPRoute, PackageRouter, RouteTable

if TYPE_CHECKING:
    from app.lifespan import Container
    from app.managers.rbac_manager import RBACManager

ASSETS = files("fastapi_offline") / "static"
Asset = Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def get_docs() -> HTMLResponse:
    """Show the API to a person."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Gatehouse",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        swagger_ui_parameters={"showExtensions": True},
    )


@router.get("/docs/{asset}")
async def get_asset(asset: Asset) -> FileResponse:
    """Serve what the page needs."""
    return FileResponse(str(ASSETS / asset))


@router.get("/openapi.json")
async def get_openapi(request: Request) -> Response:
    """Describe the API to a program, with the roles now in force."""
    rbac: RBACManager = request.state.container.rbac
    return Response(
        _rendered(request.app, rbac, _revision_of(rbac)),
        media_type="application/json",
    )


@router.get("/asyncapi.json")
async def get_asyncapi(request: Request) -> Response:
    """Describe the socket to a program, with the roles now in force."""
    container: Container = request.state.container
    rbac = container.rbac
    return Response(
        _rendered_socket(container.router, rbac, _revision_of(rbac)),
        media_type="application/json",
    )


def _revision_of(rbac: "RBACManager") -> int:
    return rbac.snapshot.revision if rbac.snapshot else 0


@lru_cache(maxsize=1)
def _rendered_socket(
    packages: PackageRouter, rbac: "RBACManager", _revision: int
) -> bytes:
    """Keep the document of a revision, as that of HTTP."""
    return msgspec.json.encode(asyncapi_document(packages, rbac))


@lru_cache(maxsize=1)
def _rendered(app: FastAPI, rbac: "RBACManager", _revision: int) -> bytes:
    """Keep the document of a revision: anybody may ask, and it takes time."""
    return msgspec.json.encode(openapi_document(app, rbac))


def openapi_document(app: FastAPI, rbac: "RBACManager") -> dict[str, Any]:
    """Describe the API: what the framework knows, and what it does not.

    Each operation gets the answers that middlewares give, and
    `x-required-roles`: any one of the listed roles, `*` for every signed-in
    user, nothing for a public operation.
    """
    document = dict(app.openapi())
    components = dict(document["components"])
    components["schemas"] = _schemas(components["schemas"])
    components["headers"] = headers()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    table: RouteTable = app.state.routes
    paths = {
        route.template: _path(document["paths"][route.template], route, rbac)
        for route in table
        if route.template in document["paths"]
    }
    return {**document, "components": components, "paths": paths}


def _schemas(schemas: dict[str, Any]) -> dict[str, Any]:
    own = {
        name: value
        for name, value in schemas.items()
        if name not in {"HTTPValidationError", "ValidationError"}
    }
    problem = schema()
    nested = problem.pop("$defs")
    return {**own, **nested, "Problem": problem}


def _path(
    operations: dict[str, Any], route: HTTPRoute, rbac: "RBACManager"
) -> dict[str, Any]:
    return {
        method: _operation(operation, method.upper(), route, rbac)
        for method, operation in operations.items()
    }


def _operation(
    operation: dict[str, Any],
    method: str,
    route: HTTPRoute,
    rbac: "RBACManager",
) -> dict[str, Any]:
    statuses = [429, 431, 503]
    if "requestBody" in operation:
        statuses += [400, 413]
    if "422" in operation["responses"]:
        statuses += [422]
    if route.public:
        return _with_responses(operation, statuses)
    if method in WRITES:
        statuses += [409, 422]
        parameters = [*operation.get("parameters", []), _idempotency_key()]
        operation = {**operation, "parameters": parameters}
    return {
        **_with_responses(operation, [401, 403, *statuses]),
        "security": [{"token": []}],
        "x-required-roles": rbac.required_roles(method, route.template),
    }


def _idempotency_key() -> dict[str, Any]:
    """Describe the header that makes a write one that may be repeated."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and body within 24 hours give the first"
        " answer again.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_IDEMPOTENCY_KEY_LENGTH,
            "pattern": "^[ -~]+$",
        },
    }


def _with_responses(
    operation: dict[str, Any], statuses: list[int]
) -> dict[str, Any]:
    known = {str(k): v for k, v in responses(*statuses).items()}
    merged = {**operation["responses"], **known}
    return {
        **operation,
        "responses": {k: _with_headers(k, v) for k, v in merged.items()},
    }


def _with_headers(status: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Add what `RateLimitMiddleware` says, which counts no 431."""
    if status == "431":
        return answer
    known = limit_headers(refused=status == "429")
    return {**answer, "headers": {**answer.get("headers", {}), **known}}
