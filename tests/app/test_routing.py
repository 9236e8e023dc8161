"""Tables of messages and of routes."""

from enum import IntEnum
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from app.exceptions import InvalidInput, MethodNotAllowed, NotFound
from app.routing import (
    Context,
    PackageRouter,
    RouteTable,
    collect_pkg_routers,
    collect_subrouters,
)
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.page import Input


class OurID(IntEnum):
    """Another team's messages."""

    GREET = 1000
    PART = 1001


class Greeting(Input):
    """Data of GREET."""

    name: str


async def handler(request: RequestModel[Any], _: Context) -> ResponseModel:
    """Answer with what was asked."""
    return ResponseModel.success(request.pkg_id, request.req_id, request.data)


def nothing() -> None:
    """Answer nothing."""


@pytest.fixture
def table() -> RouteTable:
    """Routes of each kind."""
    app = FastAPI(openapi_url=None)
    app.add_api_route("/items", nothing, methods=["GET"])
    app.add_api_route("/items", nothing, methods=["POST"])
    app.add_api_route("/items/first", nothing, methods=["GET"])
    app.add_api_route("/items/{id}", nothing, methods=["GET", "DELETE"])
    app.mount("/files", Starlette())
    return RouteTable(app.routes, r"/items/first|/files/.*")


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/items", "/items"),
        ("POST", "/items", "/items"),
        ("GET", "/items/first", "/items/first"),
        ("DELETE", "/items/first", "/items/{id}"),
        ("GET", "/items/7", "/items/{id}"),
        ("GET", "/items/%0A", "/items/{id}"),
        ("GET", "/items/a\nb", "/items/{id}"),
        ("PUT", "/files/a/b", "/files/{path:path}"),
    ],
)
def test_a_path_has_one_template(
    table: RouteTable, method: str, path: str, template: str
) -> None:
    """A request belongs to the first template that has its method."""
    assert template == table.resolve(method, path).template


@pytest.mark.parametrize(
    "path", ["/", "/items/", "//items", "/items/7/", "/Items", "/files"]
)
def test_other_paths_are_not_found(table: RouteTable, path: str) -> None:
    """A trailing slash, or anything else, makes another path."""
    with pytest.raises(NotFound):
        table.resolve("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", "/items", "GET, HEAD, POST"),
        ("DELETE", "/items", "GET, HEAD, POST"),
        ("PATCH", "/items/7", "DELETE, GET, HEAD"),
    ],
)
def test_other_methods_are_not_allowed(
    table: RouteTable, method: str, path: str, allowed: str
) -> None:
    """A method without a route is refused, and the others are named."""
    with pytest.raises(MethodNotAllowed) as refusal:
        table.resolve(method, path)
    assert allowed == refusal.value.allowed


def test_public_is_decided_on_the_whole_template(table: RouteTable) -> None:
    """EXCLUDED_PATHS must match all of a template, not a part of it."""
    public = {route.template for route in table if route.public}
    assert {"/items/first", "/files/{path:path}"} == public


def test_any_enumeration_numbers_messages() -> None:
    """A package brings its own ids."""
    router = PackageRouter()
    router.register(OurID.GREET)(handler)
    merged = PackageRouter()
    merged.include(router)
    assert [OurID.GREET] == [package.pkg_id for package in merged]


def test_a_number_has_one_handler() -> None:
    """Two handlers of one number are refused, and both are named."""
    router = PackageRouter()
    router.register(OurID.GREET)(handler)
    with pytest.raises(ValueError, match=r"1000 is both GREET .* and GREET"):
        router.register(OurID.GREET)(handler)


@pytest.mark.parametrize(
    ("schema", "raw", "location"),
    [
        (Greeting, b'{"name": 1}', ["data", "name"]),
        (Greeting, b"{}", ["data", "name"]),
        (Greeting, b'{"name": "a", "x": 1}', ["data", "x"]),
        (Greeting, b"[]", ["data"]),
        (None, b"[]", ["data"]),
        (
            {"properties": {"name": {"type": "string"}}},
            b'{"name": 1}',
            ["data", "name"],
        ),
        ({"required": ["name"]}, b"{}", ["data"]),
    ],
)
def test_a_schema_names_what_is_wrong(
    schema: Any, raw: bytes, location: list[str]
) -> None:
    """Models and JSON schemas refuse data alike and say where."""
    router = PackageRouter()
    router.register(OurID.GREET, json_schema=schema)(handler)
    (package,) = router
    with pytest.raises(InvalidInput) as refusal:
        package.validate(raw)
    assert [location] == [error["loc"] for error in refusal.value.errors]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Greeting, Greeting(name="Ada")),
        ({"required": ["name"]}, {"name": "Ada"}),
        (None, {"name": "Ada"}),
    ],
)
def test_a_schema_gives_the_value(schema: Any, expected: Any) -> None:
    """A handler gets a model, or a dict where there is no model."""
    router = PackageRouter()
    router.register(OurID.GREET, json_schema=schema)(handler)
    (package,) = router
    assert expected == package.validate(b'{"name": "Ada"}')


def test_packages_are_discovered() -> None:
    """Routers are found in every module below the packages named."""
    names = {
        package.pkg_id.name for package in collect_pkg_routers(["app.api"])
    }
    assert {"GET_AUTHORS", "CREATE_BOOK", "ME"} <= names
    assert "app.api.http.author" in collect_subrouters(["app.api"])
