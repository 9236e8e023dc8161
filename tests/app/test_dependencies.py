"""What endpoints are given, and when their work is kept."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.commands.author import CreateAuthorCommand
from app.dependencies import AuthorRepoDep, ContainerDep, CurrentUser
from app.middlewares.unit_of_work import UnitOfWorkMiddleware
from app.repositories.author import AuthorRepository
from app.schemas.author import AuthorInput, AuthorRead
from app.schemas.user import UserModel
from app.storage.db import Database

USER = UserModel(id="1", username="ada", expires_at=0)


class Observed:
    """An application, and how many authors there are when it answers."""

    def __init__(self, app: FastAPI, database: Database) -> None:
        self.app = app
        self.database = database
        self.stored: list[bool] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Look into the database before an answer is sent."""
        scope["state"] = {"container": SimpleNamespace(database=self.database)}
        scope["user"] = USER

        async def look_and_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                async with self.database.unit_of_work() as session:
                    found = await AuthorRepository(session).exists()
                    self.stored.append(found)
            await send(message)

        app = UnitOfWorkMiddleware(self.app)
        await app(scope, receive, look_and_send)


@pytest.fixture
def observed(database: Database) -> Observed:
    """An application with an endpoint for each dependency."""
    app = FastAPI()

    @app.post("/authors")
    async def create(data: AuthorInput, authors: AuthorRepoDep) -> AuthorRead:
        return await CreateAuthorCommand(authors).execute(data)

    @app.post("/failing")
    async def fail(data: AuthorInput, authors: AuthorRepoDep) -> None:
        await CreateAuthorCommand(authors).execute(data)
        raise ZeroDivisionError

    @app.get("/me")
    async def me(user: CurrentUser, container: ContainerDep) -> list[str]:
        return [user.username, type(container.database).__name__]

    return Observed(app, database)


@pytest.fixture
def client(observed: Observed) -> httpx.AsyncClient:
    """A client of that application."""
    transport = httpx.ASGITransport(observed, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_unit_of_work_is_kept_before_the_answer_is_sent(
    client: httpx.AsyncClient, observed: Observed
) -> None:
    """No client is told of a write that then fails."""
    answer = await client.post("/authors", json={"name": "Ada"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Ada")
    assert observed.stored == [True]


async def test_unit_of_work_is_undone_before_an_error_is_told(
    client: httpx.AsyncClient, observed: Observed
) -> None:
    """What a failing endpoint had written is gone."""
    answer = await client.post("/failing", json={"name": "Ada"})
    assert answer.status_code == 500
    assert observed.stored == [False]


async def test_endpoint_is_given_the_user_and_the_container(
    client: httpx.AsyncClient,
) -> None:
    """Both are what the layers above have put in place."""
    assert (await client.get("/me")).json() == ["ada", "Database"]
