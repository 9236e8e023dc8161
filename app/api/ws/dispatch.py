"""The path of one message, from its text to its reply.

    decode -> find the handler -> permission -> schema -> unit of work
    -> handler -> commit -> reply

There is one way through and no step back. A handler therefore never opens a
session, checks a permission or formats an error. Whatever is raised below
becomes exactly one reply, here.
"""

from typing import TYPE_CHECKING

import structlog

from app.api.ws.envelope import (
    Envelope,
    UnreadableMessage,
    decode,
    internal_error,
)
from app.exceptions import (
    AppError,
    InvalidInput,
    PermissionDenied,
    Unauthenticated,
)
from app.routing import Context, Package, Socket
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.user import ANONYMOUS, UserModel
from app.utils.deadline import deadline

if TYPE_CHECKING:
    from app.lifespan import Container

logger = structlog.get_logger(__name__)


async def dispatch(
    container: "Container",
    socket: Socket,
    user: UserModel | None,
    text: str | None,
) -> ResponseModel:
    """Answer one message; whatever happens, there is one answer.

    Args:
        container: The process's parts.
        socket: Where the message came from.
        user: Who is signed in there, or None.
        text: The message; None for a binary frame.
    """
    try:
        request = decode(text)
    except UnreadableMessage as error:
        return _refusal(error, error.pkg_id, error.req_id)
    try:
        async with deadline(container.settings.request_timeout_seconds):
            return await _handle(container, socket, user, request)
    except AppError as error:
        return _refusal(error, request.pkg_id, request.req_id)
    except Exception:
        logger.exception("unhandled exception", pkg_id=request.pkg_id)
        return internal_error(request)


async def _handle(
    container: "Container",
    socket: Socket,
    user: UserModel | None,
    request: Envelope,
) -> ResponseModel:
    package = _find(container, request.pkg_id)
    if not package.public:
        _check_permission(container, package, user)
    data = package.validate(bytes(request.data))
    async with container.database.unit_of_work() as session:
        return await package.handler(
            RequestModel(request.pkg_id, request.req_id, data),
            Context(container, socket, user or ANONYMOUS, session),
        )


def _find(container: "Container", pkg_id: int) -> Package:
    package = container.router.get(pkg_id)
    if package is not None:
        return package
    message = "There is no such message"
    raise InvalidInput(
        message,
        errors=[{"loc": ["pkg_id"], "msg": message, "type": "unknown"}],
    )


def _check_permission(
    container: "Container", package: Package, user: UserModel | None
) -> None:
    if user is None:
        message = "Sign in first: send AUTHENTICATE with a token"
        raise Unauthenticated(message)
    if not container.rbac.check_ws_permission(package.pkg_id, user):
        raise PermissionDenied(f"ws {package.pkg_id.name}")


def _refusal(
    error: AppError, pkg_id: int | None, req_id: str | None
) -> ResponseModel:
    details = {"errors": error.errors, "retry_after": error.retry_after}
    return ResponseModel.err_msg(
        pkg_id,
        req_id,
        error.detail,
        error.code,
        **{name: value for name, value in details.items() if value},
    )
