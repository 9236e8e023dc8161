"""Which pushes a socket gets."""

from app.api.ws.constants import PkgID
from app.commands.subscription import SubscribeCommand, UnsubscribeCommand
from app.routing import Context, PackageRouter, Reply
from app.schemas.me import Nothing
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.push import (
    After,
    Notice,
    SubscribeInput,
    SubscribeRead,
    UnsubscribeInput,
)

pkg_router = PackageRouter()
pkg_router.push(PkgID.SERVER_NOTICE, read=None, data=Notice)


@pkg_router.register(
    PkgID.SUBSCRIBE,
    json_schema=SubscribeInput,
    reply=Reply(SubscribeRead, After | None),
)
async def subscribe(
    request: RequestModel[SubscribeInput], context: Context
) -> ResponseModel:
    """Get pushes, from where the client left off if that is remembered."""
    pushing, socket = context.container.pushing, context.socket
    command = SubscribeCommand(
        pushing.hub, pushing.history, socket, context.user
    )
    replay = await command.execute(request.data)
    if replay is not None:
        socket.after_reply(replay.run)
    return ResponseModel.success(
        request.pkg_id,
        request.req_id,
        SubscribeRead(recovered=replay is not None),
        await pushing.hub.standing(),
    )


@pkg_router.register(
    PkgID.UNSUBSCRIBE, json_schema=UnsubscribeInput, reply=Reply(Nothing)
)
async def unsubscribe(
    request: RequestModel[UnsubscribeInput], context: Context
) -> ResponseModel:
    """Get these pushes no more."""
    command = UnsubscribeCommand(context.container.pushing.hub, context.socket)
    await command.execute(request.data)
    return ResponseModel.success(request.pkg_id, request.req_id, {})
