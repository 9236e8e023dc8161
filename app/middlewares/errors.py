"""The one place where an error becomes an answer of HTTP."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.exceptions import (
    AppError,
    BadRequest,
    DeadlineExceeded,
    FieldError,
    InvalidField,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
)
from app.middlewares.permissions import WRITES
from app.utils.garbage import let_go
from app.utils.metrics import UNMATCHED, app_errors_total
from app.utils.problems import problem_response
from app.utils.validation import to_field_errors

logger = structlog.get_logger(__name__)


class ErrorsMiddleware:
    """Answers with a problem document whatever was raised further in.

    What nobody foresaw is logged with its traceback and answered with a 500
    that tells the client nothing but the request's id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if scope["state"]["answering"].status:
                _count(error, scope)
                raise
            response = problem_response(
                _as_fact(error, scope), scope["state"]["request_id"]
            )
            let_go(error)
            await response(scope, receive, send)


def _as_fact(error: Exception, scope: Scope) -> AppError:
    if isinstance(error, DeadlineExceeded):
        _count(error, scope)
    if isinstance(error, InvalidField):
        return error.placed("body" if scope["method"] in WRITES else "query")
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        fields = to_field_errors(map(_placed, error.errors()))
        return InvalidInput("The request is not valid", errors=fields)
    if isinstance(error, HTTPException) and error.status_code == _UNREADABLE:
        field = _unreadable(error)
        return BadRequest(field["msg"], errors=[field])
    if isinstance(error, HTTPException) and error.status_code in _FACTS:
        return _FACTS[error.status_code](error.detail)
    logger.error("unhandled exception", exc_info=error)
    _count(error, scope)
    return AppError("Something went wrong here; it has been logged")


def _placed(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say that the body is no JSON as the socket says it of a message.

    The framework puts the position where a list's index would be. A field
    that is JSON in itself stays where it is. A body that is not said to be
    JSON has not been read, and so is still bytes.
    """
    if error["loc"] == ("body",) and isinstance(error["input"], bytes):
        return _NOT_SAID_TO_BE_JSON
    if error["msg"] != _NO_JSON:
        return error
    where, at = error["loc"]
    reason = error["ctx"]["error"]
    msg = f"Invalid JSON: {reason} at character {at}"
    return {"loc": [where], "msg": msg, "type": "json_invalid"}


def _unreadable(error: HTTPException) -> FieldError:
    msg = _REASONS.get(type(error.__cause__), error.detail)
    return {"loc": ["body"], "msg": msg, "type": "json_invalid"}


def _count(error: Exception, scope: Scope) -> None:
    place = scope["state"].get("place")
    handler = f"http {place.template}" if place else UNMATCHED
    app_errors_total.labels(type(error).__name__, handler).inc()


_NOT_SAID_TO_BE_JSON: Final = {
    "loc": ["header", "Content-Type"],
    "msg": "The body should be JSON, and be said to be application/json",
    "type": "content_type",
}
_NO_JSON: Final = "JSON decode error"
"""What the framework says of a whole body."""
_UNREADABLE: Final = HTTPStatus.BAD_REQUEST.value
"""The framework's answer to a body that it cannot make anything of."""
_REASONS: Final[dict[type, str]] = {
    RecursionError: "Invalid JSON: nested too deeply",
    ValueError: "Invalid JSON: a number has too many digits",
    UnicodeDecodeError: "Invalid JSON: not UTF-8",
}
_FACTS: dict[int, type[AppError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLarge,
}
"""The framework's own errors that can get here."""
