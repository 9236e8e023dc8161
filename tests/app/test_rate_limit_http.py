"""Limits of HTTP: three pods, real tokens, one Valkey."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import httpx
import pytest

from tests.fixtures.limits import DATABASE, MakeRedis, forget_counts
from tests.fixtures.service import AsUser, MakeService, Service

BAD = {"Authorization": "Bearer not.a.token"}


@pytest.fixture(scope="module")
def pods(make_service: MakeService) -> Iterator[list[Service]]:
    """Three services with the limits of the contract."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                make_service(rate_limit_enabled=True, main_redis_db=DATABASE)
            )
            for _ in range(3)
        ]


@pytest.fixture(scope="module")
async def connected(
    pods: list[Service],
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Ten clients of each in turn, for httpx is slow with many requests."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=pod.url, timeout=60)
            )
            for pod in pods * 10
        ]


@pytest.fixture
async def clients(
    pods: list[Service],
    connected: list[httpx.AsyncClient],
    make_redis: MakeRedis,
) -> list[httpx.AsyncClient]:
    """Clients of each in turn, before anything was counted."""
    for pod in pods:
        pod.container.limiter._windows.clear()
    await forget_counts(make_redis())
    return connected


async def ask_all(
    clients: list[httpx.AsyncClient], count: int, path: str, **options: Any
) -> list[httpx.Response]:
    """Send so many requests at once, over all pods."""
    return await asyncio.gather(
        *(clients[i % len(clients)].get(path, **options) for i in range(count))
    )


@pytest.mark.parametrize("run", range(20))
async def test_many_at_once(
    clients: list[httpx.AsyncClient], as_user: AsUser, run: int
) -> None:
    """Of 300 requests of a user over three pods, 70 are admitted."""
    answers = await ask_all(clients, 300, "/me", headers=as_user("reader"))
    statuses = Counter(answer.status_code for answer in answers)
    assert (run, {200: 70, 429: 230}) == (run, dict(statuses))


async def test_what_a_client_is_told(
    clients: list[httpx.AsyncClient], as_user: AsUser
) -> None:
    """Every answer says what remains; a refusal says how long to wait."""
    client, headers = clients[0], as_user("reader")
    first = await client.get("/me", headers=headers)
    missing = await client.get("/authors/4711", headers=headers)
    invalid = await client.get("/authors?limit=0", headers=headers)
    denied = await client.post("/authors", headers=headers, json={"name": "x"})
    answers = [first, missing, invalid, denied]
    assert [
        (200, "70", "69"),
        (404, "70", "68"),
        (422, "70", "67"),
        (403, "70", "66"),
    ] == [(a.status_code, *_numbers(a)) for a in answers]
    assert 1 <= int(first.headers["X-RateLimit-Reset"]) <= 60
    await ask_all(clients[:1], 70, "/me", headers=headers)
    refused = await client.get("/me", headers=headers)
    assert (429, "70", "0") == (refused.status_code, *_numbers(refused))
    seconds = refused.headers["Retry-After"]
    assert 1 <= int(seconds) <= 60
    assert seconds == refused.headers["X-RateLimit-Reset"]
    assert "application/problem+json" == refused.headers["Content-Type"]
    assert int(seconds) == refused.json()["retry_after"]


def _numbers(answer: httpx.Response) -> tuple[str, str]:
    return (
        answer.headers["X-RateLimit-Limit"],
        answer.headers["X-RateLimit-Remaining"],
    )


async def test_users_and_addresses_apart(
    clients: list[httpx.AsyncClient], as_user: AsUser
) -> None:
    """A user's limit is neither another's nor that of his address."""
    await ask_all(clients, 100, "/me", headers=as_user("reader"))
    other = await clients[0].get("/me", headers=as_user("editor"))
    nobody = await clients[0].get("/me")
    assert [200, 401] == [other.status_code, nobody.status_code]


async def test_bad_tokens(
    clients: list[httpx.AsyncClient], as_user: AsUser
) -> None:
    """Bad tokens use up their address' budget; then nobody gets in there."""
    answers = await ask_all(clients, 300, "/me", headers=BAD)
    statuses = Counter(answer.status_code for answer in answers)
    good = [await c.get("/me", headers=as_user("reader")) for c in clients[:3]]
    assert {401: 70, 429: 230} == dict(statuses)
    assert [429] * 3 == [answer.status_code for answer in good]
    assert "0" == good[0].headers["X-RateLimit-Remaining"]


async def test_refused_before_any_token_work(
    clients: list[httpx.AsyncClient], pods: list[Service]
) -> None:
    """What comes from such an address has its token looked at no more."""
    await ask_all(clients[:1], 100, "/me", headers=BAD)
    looked_at = 0
    backend = pods[0].container.auth
    original = backend._verify

    async def counting(token: bytes) -> Any:
        nonlocal looked_at
        looked_at += 1
        return await original(token)

    backend._verify = counting  # type: ignore[method-assign]  # counts calls
    try:
        answers = await ask_all(clients[:1], 20, "/me", headers=BAD)
    finally:
        backend._verify = original  # type: ignore[method-assign]  # as it was
    assert ({429}, 0) == ({a.status_code for a in answers}, looked_at)


async def test_public_routes(clients: list[httpx.AsyncClient]) -> None:
    """What anybody may ask for counts for his address."""
    answers = await asyncio.gather(
        *(clients[i % 3].post("/auth/refresh", json={}) for i in range(100))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert {422: 70, 429: 30} == dict(statuses)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PATCH", "/authors", 405)],
)
async def test_what_no_route_answers(
    clients: list[httpx.AsyncClient],
    as_user: AsUser,
    method: str,
    path: str,
    status: int,
) -> None:
    """It counts as what is answered: for the user, or for the address."""
    for headers in (as_user("reader"), {}):
        answers = [
            await clients[i % 3].request(method, path, headers=headers)
            for i in range(75)
        ]
        statuses = Counter(answer.status_code for answer in answers)
        assert {status: 70, 429: 5} == dict(statuses)
        assert ("70", "69") == _numbers(answers[0])
    for headers in (BAD, as_user("editor")):
        answer = await clients[0].request(method, path, headers=headers)
        assert 429 == answer.status_code  # the address is known by now
    answer = await clients[0].post("/metrics", headers=BAD)
    assert 405 == answer.status_code


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/readyz", "/startupz", "/health", "/metrics"),
        *("/docs", "/docs/swagger-ui.css", "/openapi.json"),
        "/asyncapi.json",
    ],
)
async def test_never_limited(
    clients: list[httpx.AsyncClient], path: str
) -> None:
    """Probes, metrics and documentation are served to an exhausted address."""
    await ask_all(clients[:1], 80, "/me", headers=BAD)
    answers = await ask_all(clients[:1], 3, path)
    assert [200] * 3 == [answer.status_code for answer in answers]
    assert "X-RateLimit-Limit" not in answers[0].headers


async def test_every_operation_documents_it(
    clients: list[httpx.AsyncClient],
) -> None:
    """Each documented operation tells of 429 and of the headers."""
    document = (await clients[0].get("/openapi.json")).json()
    operations = [
        operation
        for path in document["paths"].values()
        for operation in path.values()
    ]
    limit = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    for operation in operations:
        answers = operation["responses"]
        assert limit | {"Retry-After"} == set(answers["429"]["headers"])
        assert all(
            limit <= set(answer["headers"])
            for status, answer in answers.items()
            if status != "431"
        )


async def test_switched_off(service: Service, as_user: AsUser) -> None:
    """Without limits nobody is refused, and nobody is told of limits."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        good = await ask_all([client], 100, "/me", headers=as_user("reader"))
        bad = await ask_all([client], 100, "/me", headers=BAD)
    assert ({200}, {401}) == (
        {answer.status_code for answer in good},
        {answer.status_code for answer in bad},
    )
    assert "X-RateLimit-Limit" not in good[0].headers
