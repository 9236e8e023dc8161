"""A server that is away takes down no more than what needs it."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.proxy import Proxy
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
    make_service: MakeService, servers: Servers, wire: Proxy
) -> Iterator[Service]:
    """A service that reaches Keycloak over that wire."""
    issuer = f"{servers.keycloak_base_url}/realms/{servers.realm}"
    with make_service(
        keycloak_base_url=wire.url, keycloak_issuer=issuer
    ) as service:
        yield service


@pytest.fixture
def new_key(servers: Servers) -> Iterator[Callable[[], None]]:
    """A function that makes Keycloak sign with a new key from now on."""
    made: list[str] = []
    realm = f"{servers.keycloak_base_url}/admin/realms/{servers.realm}"
    with httpx.Client(headers=_admin(servers)) as admin:

        def make() -> None:
            answer = admin.post(
                f"{realm}/components",
                json={
                    "name": "new key",
                    "providerId": "rsa-generated",
                    "providerType": "org.keycloak.keys.KeyProvider",
                    "config": {"priority": ["1000"], "algorithm": ["RS256"]},
                },
            )
            answer.raise_for_status()
            made.append(answer.headers["location"])

        yield make
        for location in made:
            admin.delete(location).raise_for_status()


def _admin(servers: Servers) -> dict[str, str]:
    answer = httpx.post(
        f"{servers.keycloak_base_url}/realms/master"
        "/protocol/openid-connect/token",
        data={
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": servers.keycloak_admin_user,
            "password": servers.keycloak_admin_password,
        },
    )
    token = answer.raise_for_status().json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def _sign_in(service: Service) -> str:
    credentials = {"username": "reader", "password": "reader"}
    async with httpx.AsyncClient(base_url=service.url) as client:
        answer = await client.post("/auth/login", json=credentials)
    return str(answer.json()["access_token"])


async def _status(service: Service, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{service.url}/me", headers=headers)
    return answer.status_code


async def test_keycloak_away_and_back_with_a_new_key(
    wired: Service,
    wire: Proxy,
    service: Service,
    sign_in: SignIn,
    new_key: Callable[[], None],
) -> None:
    """Signed-in users go on; once it is back its new key is picked up."""
    known = sign_in("reader")
    async with open_socket(wired, known) as socket:
        wire.stop()
        new_key()
        unknown = await _sign_in(service)
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
    name = servers.database_url.rpartition("@")
    url = f"{name[0]}@{proxy.url.removeprefix('http://')}/"
    url += servers.database_url.rpartition("/")[2]
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
