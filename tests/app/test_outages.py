"""A server that is away takes down no more than what needs it."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.proxy import Proxy
from tests.fixtures.realm import Realm
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService, Service
from tests.fixtures.sockets import ask, open_socket

SignIn = Callable[[str], str]
SECONDS = 20


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """The wire to Keycloak."""
    proxy = Proxy(servers.keycloak_base_url)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def wired(
    make_service: MakeService, realm: Realm, wire: Proxy
) -> Iterator[Service]:
    """A service that reaches Keycloak over that wire."""
    settings = {**realm.settings, "keycloak_issuer": realm.url}
    with make_service(**settings, keycloak_base_url=wire.url) as service:
        yield service


async def _status(service: Service, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{service.url}/me", headers=headers)
    return answer.status_code


async def test_keycloak_away_and_back_with_a_new_key(
    wired: Service, wire: Proxy, realm: Realm
) -> None:
    """Signed-in users go on; once it is back its new key is picked up."""
    known = realm.sign_in("reader")["access_token"]
    async with open_socket(wired, known) as socket:
        wire.stop()
        realm.renew_key()
        unknown = realm.sign_in("reader")["access_token"]
        assert 200 == await _status(wired, known)
        until = time.monotonic() + SECONDS
        while 503 != await _status(wired, unknown):
            assert time.monotonic() < until
        reply = await ask(socket, PkgID.GET_AUTHORS)
        assert RSPCode.OK == reply["status_code"]
        async with httpx.AsyncClient(base_url=wired.url) as client:
            credentials = {"username": "reader", "password": "reader"}
            answer = await client.post("/auth/login", json=credentials)
            assert (503, 200) == (
                answer.status_code,
                (await client.get("/readyz")).status_code,
            )
        wire.start()
        until = time.monotonic() + SECONDS
        while 200 != await _status(wired, unknown):
            assert time.monotonic() < until
        reply = await ask(socket, PkgID.AUTHENTICATE, {"token": unknown})
        assert RSPCode.OK == reply["status_code"]


async def test_postgres_away_and_back(
    make_service: MakeService, servers: Servers, sign_in: SignIn
) -> None:
    """It is 503 and reply 8 meanwhile, liveness is not asked, and heals."""
    proxy = Proxy(servers.database_url)
    proxy.start()
    url = proxy.via(servers.database_url)
    headers = {"Authorization": f"Bearer {sign_in('reader')}"}
    with make_service(database_url=url) as service:
        async with (
            httpx.AsyncClient(base_url=service.url, headers=headers) as client,
            open_socket(service, sign_in("reader")) as socket,
        ):
            assert 200 == (await client.get("/authors")).status_code
            proxy.stop()
            answer = await client.get("/authors")
            assert (503, True) == (
                answer.status_code,
                "retry-after" in answer.headers,
            )
            reply = await ask(socket, PkgID.GET_AUTHORS)
            assert RSPCode.UNAVAILABLE == reply["status_code"]
            assert reply["data"]["retry_after"] > 0
            assert 200 == (await client.get("/livez")).status_code
            assert 200 == (await client.get("/me")).status_code
            until = time.monotonic() + SECONDS
            while 503 != (await client.get("/readyz")).status_code:
                assert time.monotonic() < until
            proxy.start()
            while 200 != (await client.get("/authors")).status_code:
                assert time.monotonic() < until
            reply = await ask(socket, PkgID.GET_AUTHORS)
            assert RSPCode.OK == reply["status_code"]
            proxy.stop()
