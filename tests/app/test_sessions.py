"""A session that ends in Keycloak ends on every pod, whatever ended it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import CloseCode, PkgID, RSPCode
from app.storage.session_stream import STREAM
from app.tasks.kc_user_session import LEASE, READ_UNTIL
from tests.fixtures.proxy import Proxy
from tests.fixtures.realm import CLIENT, Person, Realm
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService, Service
from tests.fixtures.sockets import ask, open_socket

REDIS_DB = 9
JSON = "application/json"
ENDED_WITHIN_SECONDS = 5
Cause = Callable[[Realm, Person], object]


@pytest.fixture(scope="module")
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """The database that the pods share, with nothing of an earlier run."""
    async with Redis.from_url(servers.redis_url, db=REDIS_DB) as redis:
        await redis.delete(STREAM, LEASE, READ_UNTIL)
        yield redis


@pytest.fixture(scope="module")
def pods(
    make_service: MakeService, realm: Realm, redis: Redis
) -> Iterator[list[Service]]:
    """Three services that have Redis and Keycloak in common."""
    assert redis is not None
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                make_service(main_redis_db=REDIS_DB, **realm.settings)
            )
            for _ in range(3)
        ]


@asynccontextmanager
async def sockets_of(
    person: Person, pods: list[Service]
) -> AsyncIterator[list[ClientConnection]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_socket(pod, person.token))
            for pod in pods
        ]


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    """Wait until a socket is closed and say how."""
    await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def statuses(pods: list[Service], headers: dict[str, str]) -> list[int]:
    async with httpx.AsyncClient(headers=headers) as client:
        answers = [await client.get(f"{pod.url}/me") for pod in pods]
    return [answer.status_code for answer in answers]


async def all_refuse(
    pods: list[Service], person: Person, until: float
) -> None:
    while set(await statuses(pods, person.headers)) != {401}:
        assert time.monotonic() < until


def log_out(realm: Realm, person: Person) -> object:
    token = person.tokens["refresh_token"]
    return realm.post("logout", client_id=CLIENT, refresh_token=token)


def log_out_in_the_console(realm: Realm, person: Person) -> object:
    url = f"{realm.url}/account/sessions/{session_id(realm, person)}"
    token = realm.sign_in(person.name)["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": JSON}
    return httpx.delete(url, headers=headers).raise_for_status()


def session_id(realm: Realm, person: Person) -> str:
    found = realm.administrate("GET", f"/users/{person.id}/sessions").json()
    return str(found[0]["id"])


def log_out_by_admin(realm: Realm, person: Person) -> object:
    return realm.administrate("POST", f"/users/{person.id}/logout")


def delete_session(realm: Realm, person: Person) -> object:
    path = f"/sessions/{session_id(realm, person)}"
    return realm.administrate("DELETE", path)


def revoke_refresh_token(realm: Realm, person: Person) -> object:
    token = person.tokens["refresh_token"]
    return realm.post("revoke", client_id=CLIENT, token=token)


def revoke_access_token(realm: Realm, person: Person) -> object:
    return realm.post("revoke", client_id=CLIENT, token=person.token)


def withdraw_consent(realm: Realm, person: Person) -> object:
    url = f"{realm.url}/account/applications/{CLIENT}/consent"
    headers = {**person.headers, "Accept": JSON}
    return httpx.delete(url, headers=headers).raise_for_status()


def disable(realm: Realm, person: Person) -> object:
    path = f"/users/{person.id}"
    return realm.administrate("PUT", path, {"enabled": False})


def delete_user(realm: Realm, person: Person) -> object:
    return realm.administrate("DELETE", f"/users/{person.id}")


CAUSES: list[Cause] = [
    log_out,
    log_out_in_the_console,
    log_out_by_admin,
    delete_session,
    revoke_refresh_token,
    revoke_access_token,
    withdraw_consent,
    disable,
    delete_user,
]


async def closed_in_time(sockets: list[ClientConnection]) -> None:
    """Wait until all of them are closed because a session has ended."""
    async with asyncio.timeout(ENDED_WITHIN_SECONDS):
        ends = await asyncio.gather(*map(close_of, sockets))
    expected = (CloseCode.UNAUTHENTICATED, "session ended")
    assert [expected] * len(sockets) == ends


async def assert_open(sockets: list[ClientConnection]) -> None:
    for socket in sockets:
        reply = await ask(socket, PkgID.ME)
        assert RSPCode.OK == reply["status_code"]


async def signed_in_again(
    realm: Realm, person: Person, pods: list[Service]
) -> Person:
    """Sign in until the token is good: not in the second of the end."""
    until = time.monotonic() + ENDED_WITHIN_SECONDS
    while True:
        tokens = await asyncio.to_thread(realm.sign_in, person.name)
        again = Person(person.id, person.name, tokens)
        if [200] * len(pods) == await statuses(pods, again.headers):
            return again
        assert time.monotonic() < until


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_session_ends_everywhere(
    pods: list[Service], realm: Realm, cause: Cause
) -> None:
    """Sockets close with 4401 and the token is 401, for nobody else."""
    person, bystander = realm.new_person(), realm.new_person()
    async with (
        sockets_of(person, pods) as sockets,
        sockets_of(bystander, pods) as others,
    ):
        assert [200, 200, 200] == await statuses(pods, person.headers)
        await asyncio.to_thread(cause, realm, person)
        until = time.monotonic() + ENDED_WITHIN_SECONDS
        await closed_in_time(sockets)
        await all_refuse(pods, person, until)
        assert [200, 200, 200] == await statuses(pods, bystander.headers)
        await assert_open(others)


def log_everybody_out(realm: Realm) -> object:
    return realm.administrate("POST", "/logout-all")


def realm_not_before(realm: Realm) -> object:
    return realm.administrate("PUT", "", {"notBefore": int(time.time()) + 1})


def client_not_before(realm: Realm) -> object:
    client = realm.client(CLIENT)
    client["notBefore"] = int(time.time()) + 1
    return realm.administrate("PUT", f"/clients/{client['id']}", client)


@pytest.mark.parametrize(
    "cause", [log_everybody_out, realm_not_before, client_not_before]
)
async def test_everybody_is_signed_out(
    pods: list[Service], realm: Realm, cause: Callable[[Realm], object]
) -> None:
    """What ends all sessions ends ours; who signs in again is welcome."""
    person = realm.new_person()
    async with sockets_of(person, pods) as sockets:
        await asyncio.to_thread(cause, realm)
        until = time.monotonic() + ENDED_WITHIN_SECONDS
        await closed_in_time(sockets)
        await all_refuse(pods, person, until)
    again = await signed_in_again(realm, person, pods)
    async with sockets_of(again, pods) as sockets:
        await assert_open(sockets)


async def test_another_client_ends_the_browser_session(
    pods: list[Service], realm: Realm
) -> None:
    """A log-out of one application ends all of the browser's session."""
    person = realm.new_person()
    ours, others = realm.sign_in_browser(person.name, CLIENT, "second")
    browser = Person(person.id, person.name, ours)
    async with (
        sockets_of(browser, pods) as sockets,
        sockets_of(person, pods) as other_session,
    ):
        token = others["refresh_token"]
        realm.post("logout", client_id="second", refresh_token=token)
        await closed_in_time(sockets)
        await assert_open(other_session)


async def test_a_new_session_is_welcome(
    pods: list[Service], realm: Realm
) -> None:
    """After all sessions of a user ended, the next one is as good as any."""
    person = realm.new_person()
    async with sockets_of(person, pods) as sockets:
        log_out_by_admin(realm, person)
        await closed_in_time(sockets)
    again = await signed_in_again(realm, person, pods)
    async with sockets_of(again, pods) as sockets:
        await assert_open(sockets)


async def test_a_password_reset_ends_nothing(
    pods: list[Service], realm: Realm
) -> None:
    """Keycloak keeps the sessions of whose password is reset; so do we."""
    person, other = realm.new_person(), realm.new_person()
    path = f"/users/{person.id}/reset-password"
    async with (
        sockets_of(person, pods) as sockets,
        sockets_of(other, pods) as others,
    ):
        realm.administrate("PUT", path, {"type": "password", "value": "new"})
        realm.administrate("PUT", f"/users/{person.id}", {"lastName": "New"})
        disable(realm, other)
        await closed_in_time(others)
        await assert_open(sockets)


async def test_what_keycloak_does_not_keep_is_asked_for(
    pods: list[Service], realm: Realm
) -> None:
    """A disabled user is found though events don't tell what was sent."""
    person = realm.new_person()
    realm.administrate("PUT", "", {"adminEventsDetailsEnabled": False})
    async with sockets_of(person, pods) as sockets:
        disable(realm, person)
        await closed_in_time(sockets)
    realm.administrate("PUT", "", {"adminEventsDetailsEnabled": True})


async def test_logout_through_the_service_holds_at_once(
    pods: list[Service], realm: Realm
) -> None:
    """The pod that was asked refuses the token from its answer on."""
    person = realm.new_person()
    body = {"refresh_token": person.tokens["refresh_token"]}
    async with (
        sockets_of(person, pods) as sockets,
        httpx.AsyncClient(base_url=pods[0].url) as client,
    ):
        answer = await client.post("/auth/logout", json=body)
        assert 204 == answer.status_code
        answer = await client.get("/me", headers=person.headers)
        assert (401, "The session has ended") == (
            answer.status_code,
            answer.json()["detail"],
        )
        await closed_in_time(sockets)


async def test_a_pod_that_starts_later_knows(
    pods: list[Service], realm: Realm, make_service: MakeService
) -> None:
    """What ended before a process started has ended for it, too."""
    person = realm.new_person()
    async with sockets_of(person, pods) as sockets:
        delete_session(realm, person)
        await closed_in_time(sockets)
    settings = {**realm.settings, "keycloak_service_client_secret": None}
    with make_service(main_redis_db=REDIS_DB, **settings) as late:
        until = time.monotonic() + ENDED_WITHIN_SECONDS
        await all_refuse([late], person, until)


async def test_another_pod_takes_over(
    pods: list[Service], realm: Realm, redis: Redis
) -> None:
    """A process that dies with the lease is replaced within its length."""
    person = realm.new_person()
    async with sockets_of(person, pods) as sockets:
        await redis.set(LEASE, "a process that has died", px=2000)
        disable(realm, person)
        await closed_in_time(sockets)
    assert await redis.get(LEASE) != b"a process that has died"


async def test_one_pod_reads_for_all(
    make_service: MakeService, realm: Realm
) -> None:
    """Keycloak is asked by one process, however many there are."""
    settings = {**realm.settings, "main_redis_db": REDIS_DB + 4}
    person = realm.new_person()
    with make_service(**settings) as first, make_service(**settings) as second:
        async with sockets_of(person, [first, second]) as sockets:
            disable(realm, person)
            await closed_in_time(sockets)
        tasks = [pod.container.user_sessions for pod in (first, second)]
        assert {True, None} == {task.reading for task in tasks}


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """The wire to Keycloak."""
    proxy = Proxy(servers.keycloak_base_url)
    proxy.start()
    yield proxy
    proxy.stop()


async def test_keycloak_away_ends_nothing(
    make_service: MakeService, realm: Realm, wire: Proxy
) -> None:
    """Sockets and tokens go on; what happened meanwhile is found after."""
    person, bystander = realm.new_person(), realm.new_person()
    with make_service(
        **realm.settings,
        main_redis_db=REDIS_DB + 1,
        keycloak_base_url=wire.url,
        keycloak_issuer=realm.url,
    ) as pod:
        task = pod.container.user_sessions
        async with (
            sockets_of(person, [pod]) as sockets,
            sockets_of(bystander, [pod]) as others,
        ):
            await until_true(lambda: task.reading is True)
            wire.stop()
            await until_true(lambda: task.reading is False)
            disable(realm, person)
            await assert_open([*sockets, *others])
            assert [200] == await statuses([pod], person.headers)
            wire.start()
            await closed_in_time(sockets)
            await assert_open(others)


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2 * ENDED_WITHIN_SECONDS):
        while not condition():  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)


@pytest.fixture
def redis_wire(servers: Servers) -> Iterator[Proxy]:
    """The wire to Redis."""
    proxy = Proxy(servers.redis_url)
    proxy.start()
    yield proxy
    proxy.stop()


async def test_redis_away_ends_sessions_all_the_same(
    make_service: MakeService,
    realm: Realm,
    servers: Servers,
    redis_wire: Proxy,
) -> None:
    """Each pod reads the events itself; what it knows is told afterwards."""
    credentials = servers.redis_url.rpartition("@")[0]
    address = redis_wire.url.removeprefix("http://")
    settings = {
        **realm.settings,
        "redis_url": f"{credentials}@{address}",
        "main_redis_db": REDIS_DB + 2,
    }
    person, other = realm.new_person(), realm.new_person()
    with make_service(**settings) as first, make_service(**settings) as second:
        pods = [first, second]
        async with (
            sockets_of(person, pods) as sockets,
            sockets_of(other, pods) as others,
        ):
            redis_wire.stop()
            disable(realm, person)
            await closed_in_time(sockets)
            await assert_open(others)
            sessions = first.container.sessions
            assert not sessions.all_published
            redis_wire.start()
            await until_true(lambda: sessions.all_published)


async def test_keycloak_tells_of_a_log_out(
    make_service: MakeService, realm: Realm
) -> None:
    """Its call ends a session on every pod; no event has to be read."""
    settings = {
        **realm.settings,
        "keycloak_service_client_secret": None,
        "main_redis_db": REDIS_DB + 3,
    }
    person, other = realm.new_person(), realm.new_person()
    with make_service(**settings) as first, make_service(**settings) as second:
        realm.tell(f"{first.url}/auth/backchannel-logout")
        pods = [first, second]
        async with (
            sockets_of(person, pods) as sockets,
            sockets_of(other, pods) as others,
        ):
            log_out(realm, person)
            await closed_in_time(sockets)
            delete_session(realm, other)
            await closed_in_time(others)
        realm.tell("")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/events", 200),
        ("GET", "/admin-events", 200),
        ("GET", "/users", 200),
        ("GET", "/clients", 403),
        ("GET", "/roles", 403),
        ("POST", "/users", 403),
        ("POST", "/logout-all", 403),
        ("DELETE", "/events", 403),
    ],
)
async def test_the_services_client_may_only_look(
    servers: Servers, realm: Realm, method: str, path: str, expected: int
) -> None:
    """What it needs is permitted, and nothing else."""
    answer = realm.post(
        "token",
        grant_type="client_credentials",
        client_id="gatehouse-service",
        client_secret=realm.service_secret,
    )
    url = f"{servers.keycloak_base_url}/admin/realms/{realm.name}{path}"
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    body = {"username": "nobody"} if method == "POST" else None
    async with httpx.AsyncClient(headers=headers) as client:
        answer = await client.request(method, url, json=body)
    assert expected == answer.status_code
