"""Messages about the socket's own user."""

from app.api.ws.constants import PkgID
from app.commands.me import DescribeUserCommand
from app.routing import Context, PackageRouter, Reply
from app.schemas.me import AuthenticateInput, MeRead, Nothing
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.push import MapChange

pkg_router = PackageRouter()
pkg_router.push(PkgID.PERMISSIONS_CHANGED, read=None, data=MapChange)


@pkg_router.register(
    PkgID.AUTHENTICATE,
    json_schema=AuthenticateInput,
    public=True,
    reply=Reply(MeRead),
)
async def authenticate(
    request: RequestModel[AuthenticateInput], context: Context
) -> ResponseModel:
    """Sign in with a token, or renew the one in use."""
    user = await context.socket.sign_in(request.data.token)
    command = DescribeUserCommand(context.container.rbac)
    data = await command.execute(user)
    return ResponseModel.success(request.pkg_id, request.req_id, data)


@pkg_router.register(PkgID.ME, json_schema=Nothing, reply=Reply(MeRead))
async def get_me(
    request: RequestModel[Nothing], context: Context
) -> ResponseModel:
    """Tell the user who he is and what he may do."""
    command = DescribeUserCommand(context.container.rbac)
    data = await command.execute(context.user)
    return ResponseModel.success(request.pkg_id, request.req_id, data)
