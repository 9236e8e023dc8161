"""Facts of `app.exceptions` as answers of HTTP (RFC 9457)."""

from typing import Any

import msgspec
from starlette.responses import Response

from app.exceptions import (
    AppError,
    MethodNotAllowed,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)
from app.utils.rate_limiter.verdict import rate_limit_headers

MEDIA_TYPE = "application/problem+json"


def problem_response(
    error: AppError, request_id: str | None = None
) -> Response:
    """Make the answer that says this error to a client of HTTP."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
    }
    details = {
        "request_id": request_id,
        "errors": error.errors,
        "retry_after": error.retry_after,
        "permission": getattr(error, "permission", None),
    }
    body.update({k: v for k, v in details.items() if v})
    response = Response(
        msgspec.json.encode(body),
        error.status,
        _headers(error),
        media_type=MEDIA_TYPE,
    )
    if isinstance(error, RateLimited):
        seconds = error.retry_after or 0
        response.raw_headers += rate_limit_headers(error.limit, 0, seconds)
    return response


def _headers(error: AppError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = (
            'Bearer realm="gatehouse", error="invalid_token",'
            f' error_description="{error.detail}"'
        )
    if isinstance(error, PermissionDenied):
        headers["WWW-Authenticate"] = (
            'Bearer realm="gatehouse", error="insufficient_scope"'
        )
    return headers
