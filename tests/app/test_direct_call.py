"""Endpoints that are called without FastAPI answer as with it."""

from collections.abc import AsyncIterator
from enum import StrEnum
from itertools import count
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import ResponseValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from app.main import collect_surface
from app.middlewares import parameters
from app.middlewares.direct_call import DirectCallMiddleware, is_direct
from app.middlewares.direct_route import endpoints
from app.routing import RouteTable
from app.schemas.page import CursorMetadata, CursorPage

router = APIRouter()
_calls = count()


class Colour(StrEnum):
    """What may be asked for."""

    RED = "red"


class Flat(BaseModel):
    """Parameters with one value each."""

    model_config = ConfigDict(extra="forbid")

    limit: int = 20
    since: float | None = Field(default=None, alias="from")
    colour: Colour | None = None
    word: Annotated[str, Field(max_length=3)] | None = None


class Loose(BaseModel):
    """Parameters beside which there may be others."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(max_length=3)]


class Lists(BaseModel):
    """A parameter with more than one value."""

    tags: list[str] = []


class Named(BaseModel):
    """A parameter with two names."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    size: Annotated[int, Field(alias="length")] = 1


class Answer(BaseModel):
    """What an endpoint was given."""

    given: dict[str, Any]
    nothing: str | None = None


async def number() -> int:
    """Return how often this was called."""
    return next(_calls)


async def path_of(request: Request) -> str:
    """Return the path, as the framework would write it."""
    return request.url_for("flat").path + str(request.path_params)


async def pair(first: Annotated[int, Depends(number)], limit: int = 1) -> Any:
    """Depend on what others depend on, and on a parameter."""
    return [first, limit]


@router.get("/flat")
async def flat(query: Annotated[Flat, Query()]) -> Answer:
    return Answer(given=query.model_dump())


@router.get("/loose")
async def loose(query: Annotated[Loose, Query()]) -> Answer:
    return Answer(given=query.model_dump())


@router.get("/lists")
async def lists(query: Annotated[Lists, Query()]) -> Answer:
    return Answer(given=query.model_dump())


@router.get("/named")
async def named(query: Annotated[Named, Query()]) -> Answer:
    return Answer(given=query.model_dump())


@router.get("/path/{id}/{name:path}", status_code=202)
async def path(
    item_id: Annotated[int, Path(alias="id", ge=1)],
    where: Annotated[str, Depends(path_of)],
    name: str,
    word: str = "none",
    many: Annotated[tuple[int, ...], Query()] = (),
) -> Answer:
    given = {"id": item_id, "name": name, "word": word}
    return Answer(given={**given, "where": where, "many": many})


class Line(BaseModel):
    """What a list is of."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    note: str | None


def _page() -> CursorPage[Line]:
    row = msgspec.defstruct("LineRow", ["name", "note"])
    meta = CursorMetadata(limit=1, next=None)
    return CursorPage[Line].of([row("a", None)], meta)


@router.get("/page")
async def page() -> CursorPage[Line]:
    """Answer a list as it was read."""
    return _page()


@router.get("/shorter-page", response_model_exclude_none=True)
async def shorter_page() -> CursorPage[Line]:
    """Answer a list without what is nothing."""
    return _page()


@router.get("/shared", response_model_exclude_none=True)
async def shared(
    both: Annotated[Any, Depends(pair)],
    first: Annotated[int, Depends(number)],
    fresh: Annotated[int, Depends(number, use_cache=False)],
) -> Answer:
    same, limit = both[0] == first, both[1]
    return Answer(given={"same": same, "new": fresh > first, "limit": limit})


@router.get("/list")
async def as_list() -> list[Answer]:
    return [{"given": {"a": 1}, "other": 2}]  # type: ignore[list-item]


@router.get("/own", response_model=Answer)
async def own() -> Response:
    return PlainTextResponse("own", 203)


@router.get("/wrong")
async def wrong() -> Answer:
    return {"given": 1}  # type: ignore[return-value]


@router.get("/sync")
def sync() -> Answer:
    return Answer(given={})


@router.get("/header")
async def header(accept: Annotated[str, Header()]) -> Answer:
    return Answer(given={"accept": accept})


@router.get("/response")
async def respond(response: Response) -> Answer:
    response.headers["X-Own"] = "1"
    return Answer(given={})


@router.post("/body")
async def body(data: Answer) -> Answer:
    return data


async def opened() -> AsyncIterator[int]:
    """Yield, so that there is something to close."""
    yield 1


@router.get("/opened")
async def opening(value: Annotated[int, Depends(opened)]) -> Answer:
    return Answer(given={"value": value})


class Framework:
    """FastAPI's way, and how often it was gone."""

    def __init__(self) -> None:
        self.requests = 0
        self._app = FastAPI()
        self._app.router.routes.extend(router.routes)
        self._table = RouteTable(router.routes, "")

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request."""
        self.requests += 1
        await self._app(scope, receive, send)

    def direct(self) -> Any:
        """Return an application that calls endpoints itself."""
        middleware = DirectCallMiddleware(self, router.routes)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            route = self._table.find(scope["method"], scope["path"])
            scope.update(state={"route": route}, app=self._app)
            await middleware(scope, receive, send)

        return app


Said = tuple[int, list[tuple[bytes, bytes]], str]


async def _ask(app: Any, target: str) -> Said:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test"
    ) as client:
        answer = await client.get(target)
    return answer.status_code, answer.headers.raw, answer.text


@pytest.mark.parametrize(
    "target",
    [
        *("/flat", "/flat?", "/flat?limit=3&from=1.5&colour=red&word=a"),
        *("/loose?name=a&other=1&none=", "/loose?name=%C3%A9+%00"),
        *("/path/1/a/b?word=x", "/path/7/a%2Fb?many=1&many=2&word=x&word=y"),
        *("/shared", "/shared?limit=2", "/list", "/own", "/page"),
        "/shorter-page",
        *(
            "/lists",
            "/lists?tags=a&tags=b",
            "/named?length=2",
            "/named?size=3",
        ),
    ],
)
async def test_a_valid_request_is_answered_the_same(target: str) -> None:
    """Status, headers and body are FastAPI's; FastAPI was not asked."""
    framework = Framework()
    answer = await _ask(framework.direct(), target)
    assert 0 == framework.requests
    assert await _ask(framework, target) == answer
    assert answer[0] < 400


def test_flat_models_are_read_without_the_framework(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of our own lists are: FastAPI takes 25 us to read one."""
    monkeypatch.delattr(parameters, "request_params_to_args")
    request = Request({"type": "http", "query_string": b"", "headers": []})
    surface = collect_surface()
    for operation in (("GET", "/authors"), ("GET", "/audit-logs")):
        route = endpoints(surface.endpoints)[operation]
        [(_, read)] = parameters.readers(route.dependant)
        assert 20 in vars(read(request)).values()


@pytest.mark.parametrize(
    "target",
    [
        *("/flat?limit=x", "/flat?limit=1&limit=2", "/flat?since=1"),
        *("/flat?colour=blue&other=1", "/loose", "/loose?name=long"),
        *("/loose?name=a&b=1&b=2", "/path/0/a", "/path/x/a?many=y"),
        *("/shared?limit=x", "/named?size=3&length=2", "/named?other=1"),
    ],
)
async def test_what_is_unusual_or_wrong_is_left_to_the_framework(
    target: str,
) -> None:
    """Errors are FastAPI's own, to the letter."""
    framework = Framework()
    answer = await _ask(framework.direct(), target)
    assert 1 == framework.requests
    assert await _ask(framework, target) == answer


async def test_a_wrong_answer_is_an_error_like_in_the_framework() -> None:
    """An answer that is none of its model is not sent."""
    framework = Framework()
    with pytest.raises(ResponseValidationError) as ours:
        await _ask(framework.direct(), "/wrong")
    with pytest.raises(ResponseValidationError) as theirs:
        await _ask(framework, "/wrong")
    assert theirs.value.errors() == ours.value.errors()


def test_what_only_the_framework_does_is_left_to_it() -> None:
    """Threads, headers, bodies, what is opened and closed."""
    assert {
        *("/sync", "/header", "/response", "/body", "/opened"),
    } == {
        template
        for (_, template), route in endpoints(router.routes).items()
        if not is_direct(route)
    }


def test_reading_our_own_nouns_is_direct() -> None:
    """What clients ask for most is what was meant to be fast."""
    surface = collect_surface()
    assert {
        *("/audit-logs", "/audit-logs/{id}", "/authors", "/authors/{id}"),
        *("/authors/paginated", "/authors/{id}/books", "/books"),
        *("/books/{id}", "/connections", "/me"),
    } == {
        template
        for (_, template), route in endpoints(surface.endpoints).items()
        if is_direct(route)
    }
