"""When an answer is sent, and what has been committed by then."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse, StreamingResponse

from app.dependencies import AuthorRepoDep
from app.middlewares.unit_of_work import UnitOfWorkMiddleware
from app.models import Author
from app.repositories.author import AuthorRepository
from app.schemas.user import UserModel
from app.storage.audit import Action
from app.storage.db import Database
from tests.fixtures.audit import new_id


class Client:
    """Sends requests to an application, and notes what comes when.

    `events` has each part of the body, and what the application notes.
    """

    def __init__(self, app: FastAPI, database: Database) -> None:
        self.app = UnitOfWorkMiddleware(app)
        self.database = database
        self.events: list[Any] = []
        self.status = 0

    async def post(self, path: str, key: str = "", body: bytes = b"") -> None:
        """Send a request whose body, if it has one, stops half-way."""
        asked = [{"type": "http.request", "body": body, "more_body": True}]
        last = {"type": "http.disconnect"} if body else {"body": b""}
        await self.app(
            {
                "type": "http",
                "method": "POST",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [(b"idempotency-key", key.encode())] if key else [],
                "state": self._state(path),
            },
            self._receive([*asked, {"type": "http.request", **last}]),
            self._send,
        )

    def _state(self, path: str) -> dict[str, Any]:
        user = UserModel(id="1", username="ada", expires_at=0)
        action = Action(user, "http", f"http POST {path}", True, None, None)
        container = SimpleNamespace(database=self.database)
        return {"container": container, "action": action}

    @staticmethod
    def _receive(messages: list[dict[str, Any]]) -> Any:
        waiting = iter(messages)

        async def receive() -> Any:
            for message in waiting:
                return message
            return await asyncio.Event().wait()

        return receive

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.events.append(message["body"])

    async def names(self) -> list[str]:
        """Return the names of all authors."""
        async with self.database.unit_of_work() as session:
            page, _ = await AuthorRepository(session).list_after(9, None, {})
            return [row.name for row in page]


@pytest.fixture
def client(database: Database) -> Client:
    """A client of endpoints that answer in unusual ways."""
    app = FastAPI()
    client = Client(app, database)

    async def parts() -> AsyncIterator[bytes]:
        for number in range(2):
            client.events.append(number)
            yield str(number).encode()

    @app.post("/parts")
    async def stream(authors: AuthorRepoDep) -> StreamingResponse:
        await authors.create(Author(name="Ada"))
        return StreamingResponse(parts())

    @app.post("/later")
    async def later(tasks: BackgroundTasks) -> str:
        tasks.add_task(client.events.append, "later")
        return "now"

    @app.post("/failing")
    async def fail(authors: AuthorRepoDep) -> JSONResponse:
        await authors.create(Author(name="Ada"))
        return JSONResponse("no", 409)

    return client


async def test_answer_in_parts_is_passed_on_as_it_comes(
    client: Client,
) -> None:
    """What was done before its first part is kept."""
    await client.post("/parts")
    assert [0, b"0", 1, b"1"] == client.events
    assert ["Ada"] == await client.names()


async def test_answer_in_parts_that_is_remembered_is_sent_whole(
    client: Client,
) -> None:
    """A repetition gets all of it."""
    key = new_id()
    await client.post("/parts", key)
    await client.post("/parts", key)
    assert [0, 1, b"01", b"01"] == client.events
    assert ["Ada"] == await client.names()


async def test_answer_does_not_wait_for_what_is_done_afterwards(
    client: Client,
) -> None:
    """Tasks of the route run when it has been answered."""
    await client.post("/later")
    assert [b'"now"', "later"] == client.events


async def test_answer_that_is_an_error_undoes_the_work(
    client: Client,
) -> None:
    """It makes no difference whether an error is raised or returned."""
    await client.post("/failing")
    assert (409, []) == (client.status, await client.names())


async def test_body_that_never_arrives_is_no_write(client: Client) -> None:
    """A client that leaves half-way has asked for nothing."""
    with pytest.raises(Exception, match="has not arrived"):
        await client.post("/parts", new_id(), b"{")
    assert [] == await client.names()
