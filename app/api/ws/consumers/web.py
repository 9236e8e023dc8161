"""The socket `/web`."""

from starlette.routing import WebSocketRoute

from app.api.ws.dispatch import dispatch
from app.api.ws.websocket import PackageAuthWebSocketEndpoint
from app.schemas.message import ResponseModel


class Web(PackageAuthWebSocketEndpoint):
    """Answers each message with what its package's handler says."""

    async def on_receive(self, text: str | None) -> ResponseModel:
        """Send a message down its path."""
        return await dispatch(self.container, self, self.user, text)


websocket_routes = [WebSocketRoute("/web", Web)]
