"""What is kept of a message: the audit row, and the answer to a write.

A write is done once for each `req_id` of a user, however he spells it; the
reply repeats the spelling of the request that it answers.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from app.api.ws.constants import RSPCode
from app.api.ws.envelope import encode_value
from app.managers.recorder import Recorder
from app.routing import Socket
from app.schemas.message import ResponseModel
from app.schemas.user import UserModel
from app.storage.audit import Action
from app.storage.idempotency import Answer, WriteKey

if TYPE_CHECKING:
    from app.api.ws.envelope import Envelope
    from app.lifespan import Container


class _Body(msgspec.Struct):
    """What a reply says, without what it repeats of its request."""

    data: msgspec.Raw
    meta: msgspec.Raw


_body_decoder = msgspec.json.Decoder(_Body)


def start_action(
    container: "Container",
    socket: Socket,
    user: UserModel | None,
    pkg_id: int | None,
    req_id: str | None,
) -> Action | None:
    """Return the action that a message names, None where that is none.

    Nobody's message is no action, nor is one that needs no permission.
    """
    package = None if pkg_id is None else container.router.get(pkg_id)
    if user is None or package is None or package.public:
        return None
    return Action(
        user=user,
        protocol="ws",
        name=package.permission,
        writes=package.writes,
        address=socket.address,
        req_id=req_id,
    )


def resource_of(data: Any) -> str | None:
    """Return the id that data has, if it has one."""
    if isinstance(data, dict):
        found = data.get("id")
    else:
        found = getattr(data, "id", None)
    return None if found is None else str(found)


async def write_once(
    recorder: Recorder,
    action: Action,
    request: "Envelope",
    write: Callable[[], Awaitable[ResponseModel]],
) -> ResponseModel:
    """Do a write, or answer as when it was done.

    Raises:
        AppError: The `req_id` is another write's, or the write fails.
    """
    answer = await recorder.recall()
    if answer is None:
        reply = await write()
        action.resource = action.resource or resource_of(reply.data)
        body = encode_value({"data": reply.data, "meta": reply.meta})
        answer = Answer(reply.status_code, body)
        await recorder.complete(answer)
    kept = _body_decoder.decode(answer.body)
    status = RSPCode(answer.status)
    return ResponseModel(
        request.pkg_id, request.req_id, status, kept.data, kept.meta
    )


def write_key(action: Action, request: "Envelope") -> WriteKey:
    """Return the key under which a write is remembered."""
    return WriteKey(
        user_id=action.user.id,
        protocol=action.protocol,
        key=request.req_id.replace("-", "").lower(),
        digest=sha256(action.name.encode() + b"\0" + request.data).digest(),
    )
