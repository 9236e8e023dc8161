"""Every action of a user is a row, and administrators read them."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.audit import Row, new_id, query, rows_of
from tests.fixtures.service import AsUser, Service
from tests.fixtures.sockets import next_reply, open_socket, request

SignIn = Callable[[str], str]
NAMES = ("username", "action", "resource", "outcome", "status")


def told(row: Row) -> tuple[Any, ...]:
    """Return who did what, and how it ended."""
    return tuple(row[name] for name in NAMES)


@pytest.mark.parametrize(
    ("user", "method", "path", "body", "expected"),
    [
        ("reader", "GET", "/me", None, ("GET /me", None, "success", 200)),
        ("reader", "HEAD", "/me", None, ("GET /me", None, "success", 200)),
        (
            "reader",
            "GET",
            "/authors/7",
            None,
            ("GET /authors/{id}", "7", "error", 404),
        ),
        (
            "reader",
            "GET",
            "/authors/%00",
            None,
            ("GET /authors/{id}", "\\x00", "error", 422),
        ),
        (
            "reader",
            "DELETE",
            "/books/7",
            None,
            ("DELETE /books/{id}", "7", "permission_denied", 403),
        ),
        (
            "editor",
            "POST",
            "/authors",
            {},
            ("POST /authors", None, "error", 422),
        ),
    ],
)
async def test_request_has_a_row_however_it_ends(  # noqa: PLR0913, PLR0917  (the row)
    client: httpx.AsyncClient,
    service: Service,
    as_user: AsUser,
    user: str,
    method: str,
    path: str,
    body: Any,
    expected: tuple[str, str | None, str, int],
) -> None:
    """It says who did what to what, and how that ended."""
    req_id = new_id()
    headers = {**as_user(user), "X-Request-ID": req_id}
    await client.request(method, path, json=body, headers=headers)
    action, *rest = expected
    rows = await rows_of(service, req_id)
    assert [(user, f"http {action}", *rest)] == [told(row) for row in rows]


@pytest.mark.parametrize("declared", [True, False])
async def test_body_that_is_too_long_has_a_row(
    client: httpx.AsyncClient,
    service: Service,
    as_user: AsUser,
    declared: bool,
) -> None:
    """Whether its length was said first, or counted."""
    body = b" " * (service.settings.max_body_bytes + 1)

    async def parts() -> AsyncIterator[bytes]:
        yield body

    req_id = new_id()
    content = body if declared else parts()
    headers = {**as_user("editor"), "X-Request-ID": req_id}
    headers["Content-Type"] = "application/json"
    await client.post("/authors", content=content, headers=headers)
    rows = await rows_of(service, req_id)
    assert [("editor", "http POST /authors", None, "error", 413)] == [
        told(row) for row in rows
    ]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/me", None), ("POST", "/authors", {"name": "Ada"})],
)
async def test_row_says_when_from_where_and_how_long(
    client: httpx.AsyncClient,
    service: Service,
    as_user: AsUser,
    method: str,
    path: str,
    body: Any,
) -> None:
    """A row has all that the contract names, a write's own one as well."""
    headers = as_user("editor")
    me = (await client.get("/me", headers=headers)).json()
    before = datetime.now(UTC)
    req_id = new_id()
    headers["X-Request-ID"] = req_id
    await client.request(method, path, json=body, headers=headers)
    (row,) = await rows_of(service, req_id)
    assert before <= row["at"] <= datetime.now(UTC)
    assert 0 < row["duration_ms"] < 10_000
    assert ("127.0.0.1", "http", me["id"]) == (
        row["address"],
        row["protocol"],
        row["user_id"],
    )


async def test_created_thing_is_the_resource(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """A write's row is there when it is answered, with what it made."""
    req_id = new_id()
    headers = {**as_user("editor"), "X-Request-ID": req_id}
    made = await client.post("/authors", json={"name": "Ada"}, headers=headers)
    rows = await query(
        service, "SELECT * FROM user_action WHERE req_id = $1", req_id
    )
    author = str(made.json()["id"])
    expected = ("editor", "http POST /authors", author, "success", 201)
    assert [expected] == [told(row) for row in rows]


async def test_messages_have_rows(service: Service, sign_in: SignIn) -> None:
    """A message has a row too, also one that cannot be read."""
    denied = request(PkgID.DELETE_AUTHOR, {"id": 7})
    done = request(PkgID.GET_AUTHORS)
    unread = request(PkgID.GET_BOOKS)
    invalid = request(PkgID.GET_BOOKS, {"limit": 0})
    messages = (denied, done, unread, invalid)
    async with open_socket(service, sign_in("reader")) as socket:
        for message in messages:
            text = json.dumps(message)
            if message is unread:
                text = text.replace(', "data": {}', "")
            await socket.send(text)
            await next_reply(socket)
    ids = [message["req_id"] for message in messages]
    rows = await rows_of(service, *ids, count=4)
    assert {
        (
            "reader",
            "ws DELETE_AUTHOR",
            None,
            "permission_denied",
            RSPCode.PERMISSION_DENIED,
        ),
        ("reader", "ws GET_AUTHORS", None, "success", RSPCode.OK),
        ("reader", "ws GET_BOOKS", None, "error", RSPCode.INVALID_DATA),
    } == {told(row) for row in rows}
    assert {("ws", "127.0.0.1")} == {
        (row["protocol"], row["address"]) for row in rows
    }


async def test_written_thing_is_the_resource_of_a_message(
    service: Service, sign_in: SignIn
) -> None:
    """A message's write has its row when it is answered."""
    create = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
    async with open_socket(service, sign_in("editor")) as socket:
        await socket.send(json.dumps(create))
        author = (await next_reply(socket))["data"]["id"]
        rows = await query(
            service,
            "SELECT * FROM user_action WHERE req_id = $1",
            create["req_id"],
        )
        delete = request(PkgID.DELETE_AUTHOR, {"id": author + 1})
        await socket.send(json.dumps(delete))
        await next_reply(socket)
    rows += await rows_of(service, delete["req_id"])
    assert [
        ("editor", "ws CREATE_AUTHOR", str(author), "success", RSPCode.OK),
        (
            "editor",
            "ws DELETE_AUTHOR",
            str(author + 1),
            "error",
            RSPCode.NOT_FOUND,
        ),
    ] == [told(row) for row in rows]


async def test_what_names_no_action_of_a_user_has_no_row(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Nobody's request, a public one and an unknown path have none."""
    req_id = new_id()
    named = {"X-Request-ID": req_id}
    for path, headers in (
        ("/authors", {}),
        ("/authors", {"Authorization": "Bearer no.such.token"}),
        ("/livez", as_user("reader")),
        ("/nowhere", as_user("reader")),
    ):
        await client.get(path, headers={**headers, **named})
    last = {**as_user("reader"), **named}
    await client.get("/me", headers=last)
    rows = await rows_of(service, req_id)
    assert ["http GET /me"] == [row["action"] for row in rows]


async def test_write_without_its_row_is_no_write(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Where the row cannot be stored the write is undone, and reads go on."""
    url = service.settings.sqlalchemy_url.set(drivername="postgresql")
    blocker = await asyncpg.connect(url.render_as_string(hide_password=False))
    req_id = new_id()
    headers = {**as_user("editor"), "X-Request-ID": req_id}
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE user_action")
        read = await client.get("/authors", headers=as_user("editor"))
        write = await client.post(
            "/authors", json={"name": "Ada"}, headers=headers
        )
    await blocker.close()
    stored = await client.get("/authors", headers=as_user("editor"))
    assert (200, 503, []) == (
        read.status_code,
        write.status_code,
        stored.json()["data"],
    )
    rows = await rows_of(service, req_id)
    assert [("error", 503)] == [(r["outcome"], r["status"]) for r in rows]


async def store(service: Service, count: int) -> list[datetime]:
    """Store rows that are a day apart, and return when they were."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    moments = [first + timedelta(days=n) for n in range(count)]
    for number, at in enumerate(moments):
        await query(
            service,
            "INSERT INTO user_action (at, user_id, username, protocol, action,"
            " outcome, status, duration_ms)"
            " VALUES ($1, 'x', $2, 'http', 'http GET /x', $3, 200, 1)",
            at,
            f"old-{number % 2}",
            "error" if number == 0 else "success",
        )
    return moments


async def listed(
    client: httpx.AsyncClient, headers: dict[str, str], **filters: Any
) -> Any:
    """Ask for rows of what nobody really did."""
    params = {"action": "http GET /x", **filters}
    answer = await client.get("/audit-logs", params=params, headers=headers)
    return answer.raise_for_status().json()


async def test_filters_and_pages(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Filters join, `to` is not included, and the newest comes first."""
    await store(service, 5)
    admin = as_user("admin")
    page = await listed(client, admin, per_page=2, page=2)
    assert {"page": 2, "per_page": 2, "total": 5, "pages": 3} == page["meta"]
    assert ["2020-01-03T00:00:00Z", "2020-01-02T00:00:00Z"] == [
        row["at"] for row in page["data"]
    ]
    between = {
        "from": "2020-01-02T01:00:00+01:00",
        "to": "2020-01-04t00:00:00z",
    }
    expected = {
        ("old-1",): {"user": "old-1", **between},
        ("old-0", "old-1"): between,
        ("old-0",): {"outcome": "error"},
        (): {"user": "nobody"},
    }
    assert list(expected) == [
        tuple(
            r["username"] for r in (await listed(client, admin, **f))["data"]
        )
        for f in expected.values()
    ]


async def test_one_row_is_what_the_list_has(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """A row is found by its id."""
    await store(service, 1)
    (row,) = (await listed(client, as_user("admin")))["data"]
    answer = await client.get(
        f"/audit-logs/{row['id']}", headers=as_user("admin")
    )
    assert row == answer.json()


@pytest.mark.parametrize(
    "query_string",
    [
        "from=yesterday",
        "from=2020-01-01",
        "from=2020-01-01T00:00:00",
        "from=2020-13-01T00:00:00Z",
        "to=0001-01-01T00:00:00%2B10:00",
        "to=1577836800",
        "outcome=good",
        "user=%00",
        "page=0",
        "per_page=1001",
        "nonsense=1",
    ],
)
async def test_wrong_filters_are_named(
    client: httpx.AsyncClient, as_user: AsUser, query_string: str
) -> None:
    """A filter that cannot be read is 422, under the client's own name."""
    answer = await client.get(
        f"/audit-logs?{query_string}", headers=as_user("admin")
    )
    name = query_string.partition("=")[0]
    assert (422, ["query", name]) == (
        answer.status_code,
        answer.json()["errors"][0]["loc"],
    )


@pytest.mark.parametrize(
    ("user", "path", "expected"),
    [
        ("editor", "/audit-logs", 403),
        ("editor", "/audit-logs/1", 403),
        ("admin", "/audit-logs/9223372036854775807", 404),
        ("admin", "/audit-logs/0", 422),
    ],
)
async def test_who_may_read_and_what_is_not_there(
    client: httpx.AsyncClient,
    as_user: AsUser,
    user: str,
    path: str,
    expected: int,
) -> None:
    """Only administrators read audit rows."""
    answer = await client.get(path, headers=as_user(user))
    assert expected == answer.status_code
