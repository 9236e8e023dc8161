"""What every request over HTTP is promised."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Json, ValidationError

from app.constants import MAX_ID
from app.middlewares.errors import _as_fact
from app.server.http import HTTPProtocol
from tests.fixtures.service import AsUser, MakeService, Service

PROBLEM = "application/problem+json"
DOCUMENTS = (
    *("/docs", "/openapi.json", "/asyncapi.json"),
    *("/console", "/console/console.js"),
)


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that this is a problem document, and return it."""
    assert (status, PROBLEM) == (
        answer.status_code,
        answer.headers["content-type"],
    ), answer.text
    problem: dict[str, Any] = answer.json()
    assert status == problem["status"]
    assert answer.headers["x-request-id"] == problem["request_id"]
    return problem


async def test_a_token_is_needed(client: httpx.AsyncClient) -> None:
    """Without a token it is 401, and the challenge says why."""
    answer = await client.get("/authors")
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_role_is_needed(
    client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """Without the role it is 403, which names the permission."""
    answer = await client.post(
        "/authors", json={"name": "Ada"}, headers=as_user("reader")
    )
    assert "http POST /authors" == is_problem(answer, 403)["permission"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/authors/", "/AUTHORS", "//authors", "/web"]
)
async def test_an_unknown_path_is_404_for_everybody(
    client: httpx.AsyncClient, path: str
) -> None:
    """Nobody needs a token to learn that there is nothing."""
    is_problem(await client.get(path), 404)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE", "PATCH"])
async def test_an_unknown_method_is_405(
    client: httpx.AsyncClient, method: str
) -> None:
    """The answer lists the methods that there are."""
    answer = await client.request(method, "/authors")
    is_problem(answer, 405)
    assert "GET, HEAD, POST" == answer.headers["allow"]


async def test_head_is_get_without_a_body(
    client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """HEAD is permitted and answered as GET is."""
    refused = await client.head("/authors")
    assert (401, b"") == (refused.status_code, refused.content)
    get = await client.get("/authors", headers=as_user("reader"))
    head = await client.head("/authors", headers=as_user("reader"))
    assert (200, b"", get.headers["content-length"]) == (
        head.status_code,
        head.content,
        head.headers["content-length"],
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a-1.b:c/d+e=f", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ('"', False),
    ],
)
async def test_a_request_id_is_kept_if_it_is_harmless(
    client: httpx.AsyncClient, sent: str, kept: bool
) -> None:
    """X-Request-ID comes back, or a new one does."""
    answer = await client.get("/livez", headers={"X-Request-ID": sent})
    assert kept == (sent == answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("page=0", ["query", "page"]),
        ("page=99999999999999999999", ["query", "page"]),
        ("per_page=1000000000", ["query", "per_page"]),
        ("per_page=x", ["query", "per_page"]),
        ("id=-1", ["query", "id"]),
        ("id=1_0", ["query", "id"]),
        ("page=1.0", ["query", "page"]),
        ("per_page=%2B1", ["query", "per_page"]),
        ("per_page=%201", ["query", "per_page"]),
        ("name=%00", ["query", "name"]),
        ("nme=Ada", ["query", "nme"]),
    ],
)
async def test_a_bad_query_is_422(
    client: httpx.AsyncClient,
    as_user: AsUser,
    query: str,
    location: list[str],
) -> None:
    """The problem names the parameter."""
    answer = await client.get(
        f"/authors/paginated?{query}", headers=as_user("reader")
    )
    errors = is_problem(answer, 422)["errors"]
    assert [location] == [error["loc"] for error in errors]


@pytest.mark.parametrize(
    ("method", "path", "body", "location"),
    [
        ("GET", "/authors?after=x", None, ["query", "after"]),
        ("GET", "/books?after=x", None, ["query", "after"]),
        (
            "POST",
            "/books",
            {"title": "Notes", "author_id": MAX_ID},
            ["body", "author_id"],
        ),
    ],
)
async def test_what_a_command_refuses_is_told_where_it_is(
    client: httpx.AsyncClient,
    as_user: AsUser,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    location: list[str],
) -> None:
    """A field that is wrong is named the same way, whoever found out."""
    answer = await client.request(
        method, path, json=body, headers=as_user("editor")
    )
    errors = is_problem(answer, 422)["errors"]
    assert [location] == [error["loc"] for error in errors]


@pytest.mark.parametrize("written", ["1.0", "1_0", "+1", "%201", "-1", "x"])
async def test_a_bad_id_is_422(
    client: httpx.AsyncClient, as_user: AsUser, written: str
) -> None:
    """An id in a path is written in digits, in one way."""
    answer = await client.get(f"/authors/{written}", headers=as_user("reader"))
    errors = is_problem(answer, 422)["errors"]
    assert [["path", "id"]] == [error["loc"] for error in errors]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"name": 1}', 422),
        (b'{"name": ""}', 422),
        (b'{"name": " \\t"}', 422),
        (b'{"name": "a\\u0000b"}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b'{"\\ud800": 1, "name": "Ada"}', 422),
        (b'{"name": "Ada", "admin": true}', 422),
        (b'{"name": "' + b"x" * 256 + b'"}', 422),
        (b'{"name": "' + b"x" * 1_000_000 + b'"}', 422),
        (b'{"name": "\xff"}', 400),
        (b"[" * 100_000, 400),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": "' + b"x" * 1_048_576 + b'"}', 413),
    ],
)
async def test_a_bad_body_is_the_clients_fault(
    client: httpx.AsyncClient, as_user: AsUser, body: bytes, status: int
) -> None:
    """It is never a 500, and what was sent is not sent back."""
    headers = {**as_user("editor"), "Content-Type": "application/json"}
    answer = await client.post("/authors", content=body, headers=headers)
    is_problem(answer, status)
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"name": "\xff"}', 400, "json_invalid"),
        (b"[" * 100_000, 400, "json_invalid"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "json_invalid"),
        (b'{"name"}', 422, "json_invalid"),
        (b"", 422, "missing"),
        (b"[]", 422, "model_attributes_type"),
    ],
)
async def test_an_unreadable_body_is_told_as_a_field(
    client: httpx.AsyncClient,
    as_user: AsUser,
    body: bytes,
    status: int,
    kind: str,
) -> None:
    """The place is the body, whoever could not read it."""
    headers = {**as_user("editor"), "Content-Type": "application/json"}
    answer = await client.post("/authors", content=body, headers=headers)
    (error,) = is_problem(answer, status)["errors"]
    assert (["body"], kind) == (error["loc"], error["type"])
    assert error["msg"]


@pytest.mark.parametrize(
    "said",
    [None, "text/plain", "application/x-www-form-urlencoded"],
)
async def test_a_body_that_is_not_said_to_be_json_is_told_so(
    client: httpx.AsyncClient, as_user: AsUser, said: str | None
) -> None:
    """The place is the header, which `curl --data` sets to something else."""
    headers = {**as_user("editor"), **({"Content-Type": said} if said else {})}
    answer = await client.post(
        "/authors", content=b'{"name": "x"}', headers=headers
    )
    (error,) = is_problem(answer, 422)["errors"]
    assert ["header", "Content-Type"] == error["loc"]
    assert "application/json" in error["msg"]


class Texts(BaseModel):
    """What a package may ask for: text that is JSON in itself."""

    texts: list[Json[Any]]


def test_a_field_that_is_no_json_is_told_where_it_is() -> None:
    """It is no body that cannot be read, and no error of ours."""
    with pytest.raises(ValidationError) as invalid:
        Texts.model_validate({"texts": ["{"]})
    errors = [
        {**error, "loc": ("body", *error["loc"])}
        for error in invalid.value.errors()
    ]
    fact: Any = _as_fact(RequestValidationError(errors), {})
    assert [(["body", "texts", 0], "json_invalid")] == [
        (error["loc"], error["type"]) for error in fact.errors
    ]


async def test_a_chunked_body_is_counted(
    client: httpx.AsyncClient, as_user: AsUser, service: Service
) -> None:
    """A body without a declared length has the same limit."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(service.settings.max_body_bytes // 65536 + 1):
            yield b" " * 65536

    headers = {**as_user("editor"), "Content-Type": "application/json"}
    answer = await client.post("/authors", content=body(), headers=headers)
    is_problem(answer, 413)


@pytest.mark.parametrize(
    "probe", ["/livez", "/readyz", "/startupz", "/health"]
)
async def test_probes_are_public(
    client: httpx.AsyncClient, probe: str
) -> None:
    """A probe needs no token and is not cached."""
    answer = await client.get(probe)
    assert (200, "up", "no-store") == (
        answer.status_code,
        answer.json()["status"],
        answer.headers["cache-control"],
    )


async def test_health_tells_of_every_part(client: httpx.AsyncClient) -> None:
    """Database, Redis, Keycloak's keys and the role map have a state."""
    states = (await client.get("/health")).json()
    assert {"status", "database", "redis", "keycloak", "role_map"} == set(
        states
    )


async def test_the_documents_page_needs_nothing_from_elsewhere(
    client: httpx.AsyncClient,
) -> None:
    """Script and style come from the service."""
    page = await client.get("/docs")
    assert "//" not in page.text.replace("</", "").split("<script>")[0]
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"docs/{asset}" in page.text
        assert 200 == (await client.get(f"/docs/{asset}")).status_code


async def test_operations_show_their_roles(
    client: httpx.AsyncClient,
) -> None:
    """`x-required-roles` is the rule of the role map in force."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert (["reader"], ["editor"], "*", None) == (
        paths["/authors"]["get"]["x-required-roles"],
        paths["/authors"]["post"]["x-required-roles"],
        paths["/me"]["get"]["x-required-roles"],
        paths["/auth/login"]["post"].get("x-required-roles"),
    )


async def test_documents_and_login_can_be_switched_off(
    make_service: MakeService,
) -> None:
    """What is off is not there."""
    with make_service(docs_enabled=False, auth_login_enabled=False) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            for path in (*DOCUMENTS, "/auth/login"):
                is_problem(await client.get(path), 404)


async def test_me(client: httpx.AsyncClient, as_user: AsUser) -> None:
    """A user sees his roles and what they permit over both protocols."""
    me = (await client.get("/me", headers=as_user("reader"))).json()
    assert ("reader", True, False) == (
        me["username"],
        "http GET /authors" in me["permissions"]["http"],
        "ws CREATE_AUTHOR" in me["permissions"]["ws"],
    )


async def test_a_slow_body_is_the_clients_affair(
    make_service: MakeService,
    as_user: AsUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its time is not the request's: one that is late is told so, with 408."""
    monkeypatch.setattr(HTTPProtocol, "body_timeout_seconds", 1)
    token = as_user("editor")["Authorization"]
    head = (
        "POST /authors HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n"
        f"Content-Type: application/json\r\nAuthorization: {token}\r\n\r\n"
    )
    statuses = []
    with make_service(request_timeout_seconds=0.2) as service:
        for parts in ([b'{"name"', b':"Slow"}'], [b'{"name"']):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", service.port
            )
            writer.write(head.encode())
            for part in parts:
                await asyncio.sleep(0.4)
                writer.write(part)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            statuses.append(answer.split()[1])
            writer.close()
            await writer.wait_closed()
    assert ["201", "408"] == statuses
