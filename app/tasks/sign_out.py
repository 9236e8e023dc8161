"""Closes the sockets of sessions that have ended."""

import asyncio

from app.constants import SESSIONS_SWEEP_SECONDS
from app.managers.session_manager import SessionManager
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)


async def sign_out(
    sessions: SessionManager, sockets: WebSocketConnectionManager
) -> None:
    """Close the sockets of ended sessions, whenever there are new ones."""
    while True:
        await sessions.news.wait()
        sessions.news.clear()
        async for some in sockets.in_turns():
            for socket in some:
                if socket.user is not None and sessions.has_ended(socket.user):
                    socket.sign_out()
        await asyncio.sleep(SESSIONS_SWEEP_SECONDS)
