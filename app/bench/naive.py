"""The way such a service is often written, for contrast.

Each part is what its documentation shows first: `BaseHTTPMiddleware` that
lets python-keycloak decode the token (which fetches the keys each time), an
ORM session in every handler, and for a message `json`, pydantic and
`jsonschema.validate`, which checks the schema itself again.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import jsonschema
from fastapi import FastAPI, Request, Response, WebSocket
from keycloak import KeycloakOpenID
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import col
from starlette.middleware.base import (
    BaseHTTPMiddleware,
    RequestResponseEndpoint,
)
from starlette.websockets import WebSocketDisconnect

from app.constants import PUSH_REQ_ID
from app.models import Author
from app.settings import Settings

SCHEMA = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
        "filters": {"type": "object"},
    },
    "additionalProperties": False,
}


class Message(BaseModel):
    """A request of the socket."""

    pkg_id: int
    req_id: str
    data: dict[str, Any]


class Reply(BaseModel):
    """The answer to it."""

    pkg_id: int
    req_id: str
    status_code: int
    data: list[Author]
    meta: dict[str, int]


class Push(BaseModel):
    """What nobody has asked for."""

    pkg_id: int
    req_id: str = PUSH_REQ_ID
    status_code: int = 0
    data: dict[str, Any]


class Naive:
    """One list, over HTTP and over a socket, and one push to all sockets.

    Args:
        settings: Where the database and Keycloak are.
    """

    def __init__(self, settings: Settings) -> None:
        self.sockets: set[WebSocket] = set()
        self.engine = create_async_engine(settings.sqlalchemy_url)
        self.keycloak = KeycloakOpenID(
            server_url=str(settings.keycloak_base_url),
            realm_name=settings.keycloak_realm,
            client_id=settings.keycloak_client_id,
        )

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Close the engine at the end."""
        yield
        await self.engine.dispose()

    async def may_read(self, authorization: str) -> bool:
        """Say whether the token is a reader's."""
        token = authorization.removeprefix("Bearer ")
        claims = await self.keycloak.a_decode_token(token)
        return "reader" in claims["realm_access"]["roles"]

    async def authenticate(
        self, request: Request, call_next: RequestResponseEndpoint
    ) -> Response:
        """Refuse a request without a reader's token."""
        if request.url.path == "/startupz":
            return Response()
        if not await self.may_read(request.headers["authorization"]):
            return Response(status_code=HTTPStatus.FORBIDDEN)
        return await call_next(request)

    async def list_authors(self, limit: int) -> list[Author]:
        """List authors over HTTP."""
        return (await self._read(limit))[0]

    async def web(self, socket: WebSocket) -> None:
        """List authors over a socket."""
        await self.may_read(socket.headers["authorization"])
        await socket.accept()
        self.sockets.add(socket)
        with suppress(WebSocketDisconnect):
            while True:
                text = await socket.receive_text()
                reply = await self._answer(Message(**json.loads(text)))
                await socket.send_json(reply.model_dump(mode="json"))
        self.sockets.discard(socket)

    async def broadcast(self, push: Push) -> None:
        """Push to every socket."""
        data = push.model_dump(mode="json")
        await asyncio.gather(*(s.send_json(data) for s in self.sockets))

    async def _answer(self, message: Message) -> Reply:
        jsonschema.validate(message.data, SCHEMA)
        authors, total = await self._read(message.data["limit"])
        return Reply(
            pkg_id=message.pkg_id,
            req_id=message.req_id,
            status_code=0,
            data=authors,
            meta={"total": total},
        )

    async def _read(self, limit: int) -> tuple[list[Author], int]:
        async with AsyncSession(self.engine) as session:
            total = await session.scalar(select(func.count(col(Author.id))))
            found = await session.scalars(
                select(Author).order_by(col(Author.id)).limit(limit)
            )
            return list(found), total or 0


def make_naive_app(settings: Settings) -> FastAPI:
    """Return the application."""
    naive = Naive(settings)
    app = FastAPI(lifespan=naive.lifespan)
    app.add_middleware(BaseHTTPMiddleware, dispatch=naive.authenticate)
    app.get("/authors")(naive.list_authors)
    app.post("/broadcast", status_code=HTTPStatus.ACCEPTED)(naive.broadcast)
    app.websocket("/web")(naive.web)
    return app
