"""The path of one message, from its text to its reply.

    decode -> limit -> find the handler -> permission -> schema -> unit of work
    -> handler -> commit -> reply; the audit row whatever happens

A write whose connection is lost is tried once more, from the unit of work on.

There is one way through and no step back. A handler therefore never opens a
session, checks a permission or formats an error. Whatever is raised below
becomes exactly one reply, here.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from app.api.ws.constants import PkgID, RSPCode
from app.api.ws.envelope import (
    Envelope,
    UnreadableMessage,
    decode,
    internal_error,
)
from app.api.ws.record import (
    resource_of,
    start_action,
    write_key,
    write_once,
)
from app.exceptions import (
    AppError,
    DeadlineExceeded,
    InvalidField,
    InvalidInput,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)
from app.managers.recorder import Recorder, tried_again
from app.routing import Context, Package, Socket
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.user import ANONYMOUS, UserModel
from app.storage.audit import Action
from app.storage.unit_of_work import UnitOfWork
from app.utils.garbage import let_go
from app.utils.metrics import app_errors_total

if TYPE_CHECKING:
    from app.lifespan import Container

_AUTHENTICATE: Final = int(PkgID.AUTHENTICATE)
_UNANSWERED: Final = RSPCode.ERROR

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
        request: Envelope | UnreadableMessage = decode(text)
    except UnreadableMessage as error:
        request = error
    action = start_action(
        container, socket, user, request.pkg_id, request.req_id
    )
    status = _UNANSWERED
    try:
        reply = await _answer(container, socket, user, request, action)
        status = reply.status_code
    finally:
        if action is not None:
            container.audit.settle(action, status)
    return reply


async def _answer(
    container: "Container",
    socket: Socket,
    user: UserModel | None,
    request: Envelope | UnreadableMessage,
    action: Action | None,
) -> ResponseModel:
    try:
        # A renewal is free, so that no limit ends a socket. One that nobody
        # has signed in counts for its address, elsewhere.
        if user is not None and request.pkg_id != _AUTHENTICATE:
            await container.limits.spend_message(user.id)
    except RateLimited as error:
        return _refusal(error, request.pkg_id, request.req_id)
    if isinstance(request, UnreadableMessage):
        return _refusal(request, request.pkg_id, request.req_id)
    try:
        with container.deadlines.begin():
            return await _handle(container, socket, user, request, action)
    except AppError as error:
        if isinstance(error, DeadlineExceeded):
            _count(error, container, request.pkg_id)
        return _refusal(error, request.pkg_id, request.req_id)
    except Exception as error:
        logger.exception(
            "unhandled exception",
            pkg_id=request.pkg_id,
            req_id=request.req_id,
        )
        _count(error, container, request.pkg_id)
        let_go(error)
        return internal_error(request)


def _count(error: Exception, container: "Container", pkg_id: int) -> None:
    handler = f"ws {container.router.name(pkg_id)}"
    app_errors_total.labels(type(error).__name__, handler).inc()


async def _handle(
    container: "Container",
    socket: Socket,
    user: UserModel | None,
    request: Envelope,
    action: Action | None,
) -> ResponseModel:
    package = _find(container, request.pkg_id)
    if not package.public:
        _check_permission(container, package, user)
    data = package.validate(bytes(request.data))
    if action is not None and package.identifies:
        action.resource = resource_of(data)

    def answer(session: UnitOfWork) -> Awaitable[ResponseModel]:
        return package.handler(
            RequestModel(request.pkg_id, request.req_id, data),
            Context(container, socket, user or ANONYMOUS, session),
        )

    if action is None or not package.writes:
        async with container.database.unit_of_work() as session:
            return await answer(session)
    return await _write(container, action, request, answer)


async def _write(
    container: "Container",
    action: Action,
    request: Envelope,
    answer: Callable[[UnitOfWork], Awaitable[ResponseModel]],
) -> ResponseModel:
    async def act() -> ResponseModel:
        async with container.database.unit_of_work() as session:
            recorder = Recorder(session, action, write_key(action, request))
            first = partial(answer, session)
            return await write_once(recorder, action, request, first)

    return await tried_again(action, act)


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
        raise PermissionDenied(package.permission)


def _refusal(
    error: AppError, pkg_id: int | None, req_id: str | None
) -> ResponseModel:
    let_go(error)
    if isinstance(error, InvalidField):
        error = error.placed("data")
    details = {"errors": error.errors, "retry_after": error.retry_after}
    return ResponseModel.err_msg(
        pkg_id,
        req_id,
        error.detail,
        error.code,
        **{name: value for name, value in details.items() if value},
    )
