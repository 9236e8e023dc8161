"""A write that is repeated is done once and answered the same each time."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from tests.fixtures.audit import new_id, query, rows_of
from tests.fixtures.service import AsUser, MakeService, Service

SECONDS = 10
ADA = {"name": "Ada"}


async def authors(service: Service) -> list[str]:
    """Return the names of all authors, in order."""
    found = await query(service, "SELECT name FROM author ORDER BY name")
    return [row["name"] for row in found]


def keyed(headers: dict[str, str], key: str) -> dict[str, str]:
    """Return headers with a key."""
    return {**headers, "Idempotency-Key": key}


async def test_repetition_gets_the_first_answer(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Status, body and headers are the first's; one author, one row."""
    req_id = new_id()
    headers = {**keyed(as_user("editor"), "k"), "X-Request-ID": req_id}
    first, second = [
        await client.post("/authors", json=ADA, headers=headers)
        for _ in range(2)
    ]
    assert 201 == first.status_code
    assert "idempotency-replayed" not in first.headers
    assert "true" == second.headers.pop("idempotency-replayed")
    for answer in (first, second):
        del answer.headers["date"]
    assert (first.status_code, first.content, first.headers) == (
        second.status_code,
        second.content,
        second.headers,
    )
    assert ["Ada"] == await authors(service)
    me = await client.get("/me", headers=headers)
    assert 200 == me.status_code
    rows = await rows_of(service, req_id, count=2)
    assert ["http POST /authors", "http GET /me"] == [
        row["action"] for row in rows
    ]


async def test_deleted_twice_is_deleted_once(
    client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """An answer without a body is given again too."""
    editor = as_user("editor")
    made = await client.post("/authors", json=ADA, headers=editor)
    place = made.headers["location"]
    answers = [
        await client.delete(place, headers=keyed(editor, "d"))
        for _ in range(2)
    ]
    again = await client.delete(place, headers=editor)
    assert [204, 204, 404] == [a.status_code for a in (*answers, again)]


async def test_key_of_another_write_is_a_conflict(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Another body or another route under the same key changes nothing."""
    headers = keyed(as_user("editor"), "k")
    await client.post("/authors", json=ADA, headers=headers)
    others = [
        await client.post("/authors", json={"name": "Bo"}, headers=headers),
        await client.post("/books", json=ADA, headers=headers),
        await client.put("/authors/1", json=ADA, headers=headers),
    ]
    assert [409] * 3 == [answer.status_code for answer in others]
    assert ["Ada"] == await authors(service)


async def test_key_is_its_users_own(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """Two users may have the same key."""
    for user in ("editor", "admin"):
        answer = await client.post(
            "/authors",
            json={"name": user},
            headers=keyed(as_user(user), "k"),
        )
        assert 201 == answer.status_code
    assert ["admin", "editor"] == await authors(service)


@pytest.mark.parametrize(
    "keys", [[""], ["k" * 256], ["k\xfcy"], ["k\ty"], ["a", "b"]]
)
async def test_key_that_is_none(
    client: httpx.AsyncClient,
    service: Service,
    as_user: AsUser,
    keys: list[str],
) -> None:
    """A key is 1 to 255 printable characters; else nothing is done."""
    headers = list(as_user("editor").items())
    headers += [("Idempotency-Key", key) for key in keys]
    answer = await client.post(
        "/authors",
        json=ADA,
        headers=[(k.encode(), v.encode("latin-1")) for k, v in headers],
    )
    assert (422, ["header", "Idempotency-Key"]) == (
        answer.status_code,
        answer.json()["errors"][0]["loc"],
    )
    assert [] == await authors(service)


async def test_longest_key_is_one(
    client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """255 characters are stored."""
    headers = keyed(as_user("editor"), "~ " + "k" * 253)
    answer = await client.post("/authors", json=ADA, headers=headers)
    assert 201 == answer.status_code


async def test_key_does_not_lift_the_limit_of_a_body(
    client: httpx.AsyncClient, as_user: AsUser, service: Service
) -> None:
    """A body that comes in parts is counted while it is read."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(service.settings.max_body_bytes // 65536 + 1):
            yield b" " * 65536

    headers = keyed(as_user("editor"), "k")
    answer = await client.post("/authors", content=parts(), headers=headers)
    assert 413 == answer.status_code


async def test_error_is_not_remembered(
    client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """A write that failed may succeed under the same key."""
    editor = as_user("editor")
    made = await client.post("/authors", json=ADA, headers=editor)
    headers = keyed(editor, "k")
    refused = await client.post("/authors", json=ADA, headers=headers)
    await client.delete(made.headers["location"], headers=editor)
    done = await client.post("/authors", json=ADA, headers=headers)
    assert [409, 201] == [refused.status_code, done.status_code]


async def test_key_is_forgotten_after_a_day(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """After 24 hours a key is new; before, it is not."""
    headers = keyed(as_user("editor"), "k")
    statuses = []
    for hours in (0, 23, 2):
        await query(
            service,
            "UPDATE remembered_answer SET created_at = created_at - $1"
            " * interval '1 hour'",
            hours,
        )
        answer = await client.post("/authors", json=ADA, headers=headers)
        statuses.append(answer.status_code)
    assert [201, 201, 409] == statuses


async def test_read_ignores_the_key(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """A read is done each time and nothing of it is remembered."""
    headers = keyed(as_user("reader"), "k")
    answers = [await client.get("/authors", headers=headers) for _ in "12"]
    assert [200, 200] == [answer.status_code for answer in answers]
    assert not any("idempotency-replayed" in a.headers for a in answers)
    assert [] == await query(service, "SELECT key FROM remembered_answer")


async def test_same_write_at_once_in_two_processes(
    make_service: MakeService, service: Service, as_user: AsUser
) -> None:
    """Of 20 who come at once one writes; all get his answer."""
    req_id = new_id()
    headers = {**keyed(as_user("editor"), "k"), "X-Request-ID": req_id}
    with make_service() as other:
        async with httpx.AsyncClient(headers=headers) as client:
            answers = await asyncio.gather(
                *(
                    client.post(f"{one.url}/authors", json=ADA)
                    for one in (service, other) * 10
                )
            )
    (body,) = {answer.content for answer in answers}
    assert {201} == {answer.status_code for answer in answers}
    replayed = ["idempotency-replayed" in a.headers for a in answers]
    assert [False] + [True] * 19 == sorted(replayed)
    assert ["Ada"] == await authors(service)
    assert b'"Ada"' in body
    rows = await rows_of(service, req_id)
    assert [201] == [row["status"] for row in rows]


async def test_killed_write_is_done_by_its_repetition(
    client: httpx.AsyncClient, service: Service, as_user: AsUser
) -> None:
    """What died before its commit left no key behind; the next one does it."""
    headers = keyed(as_user("editor"), "k")

    def post() -> Any:
        return client.post("/authors", json=ADA, headers=headers)

    url = service.settings.sqlalchemy_url.set(drivername="postgresql")
    blocker = await asyncpg.connect(url.render_as_string(hide_password=False))
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE author IN SHARE MODE")
        first = asyncio.create_task(post())
        until = time.monotonic() + SECONDS
        killed: list[Any] = []
        while not killed:
            assert time.monotonic() < until
            killed = await blocker.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE $1 = ANY(pg_blocking_pids(pid))",
                blocker.get_server_pid(),
            )
        assert 503 == (await first).status_code
    await blocker.close()
    answers = [await post() for _ in range(2)]
    assert [201, 201] == [answer.status_code for answer in answers]
    assert ["Ada"] == await authors(service)
