"""Keycloak's own tokens and answers, and what is made of its failures."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from app.auth import AuthBackend
from app.exceptions import InvalidInput, Unauthenticated, Unavailable
from app.managers.keycloak_manager import KeycloakManager
from app.settings import Settings
from app.utils.jwks import JWKSCache
from tests.fixtures.servers import Servers
from tests.fixtures.tokens import Answer, Issuer

WRONG_LOGIN = "The user name or the password is wrong"
WRONG_TOKEN = "The refresh token is not valid, or it has expired"
PASSWORD = "private"


@pytest.fixture(scope="session")
def keycloak_settings(servers: Servers) -> Settings:
    """Return settings that name the real Keycloak."""
    return Settings.model_validate(
        {name.lower(): value for name, value in servers.environment.items()}
    )


@pytest.fixture
async def manager(
    keycloak_settings: Settings,
) -> AsyncIterator[KeycloakManager]:
    """Yield a manager of the real Keycloak."""
    manager = KeycloakManager(keycloak_settings)
    yield manager
    await manager.close()


@pytest.fixture
async def real_backend(
    keycloak_settings: Settings,
) -> AsyncIterator[AuthBackend]:
    """Yield a backend that trusts the real Keycloak."""
    keys = JWKSCache(keycloak_settings)
    yield AuthBackend(
        keys, keycloak_settings.issuer, keycloak_settings.keycloak_client_id
    )
    await keys.close()


@pytest.fixture
def tokens_of(servers: Servers) -> Callable[..., dict[str, Any]]:
    """Return a function that asks Keycloak itself for a user's tokens."""

    def ask(name: str, client: str) -> dict[str, Any]:
        form = {
            "grant_type": "password",
            "scope": "openid",
            "client_id": client,
            "username": name,
            "password": name,
        }
        url = f"{servers.keycloak_base_url}/realms/{servers.realm}"
        response = httpx.post(
            f"{url}/protocol/openid-connect/token", data=form
        )
        tokens: dict[str, Any] = response.raise_for_status().json()
        return tokens

    return ask


@pytest.fixture
async def new_user(servers: Servers) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that makes users; they are removed afterwards."""
    base = servers.keycloak_base_url
    form = {
        "grant_type": "password",
        "client_id": "admin-cli",
        "username": servers.keycloak_admin_user,
        "password": servers.keycloak_admin_password,
    }
    async with httpx.AsyncClient() as client:
        response = await client.post(
            f"{base}/realms/master/protocol/openid-connect/token", data=form
        )
        token = response.json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        users = f"{base}/admin/realms/{servers.realm}/users"
        made = []

        async def make(**details: Any) -> str:
            name = f"user-{secrets.token_hex(4)}"
            password = {"type": "password", "value": PASSWORD}
            body = {
                "username": name,
                "email": f"{name}@example.com",
                "firstName": "A",
                "lastName": "User",
                "enabled": True,
                "credentials": [password],
                **details,
            }
            response = await client.post(users, json=body)
            made.append(response.raise_for_status().headers["Location"])
            return name

        yield make
        for location in made:
            await client.delete(location)


@pytest.mark.parametrize("name", ["reader", "editor", "admin"])
async def test_login_gives_a_token_that_is_accepted(
    manager: KeycloakManager, real_backend: AuthBackend, name: str
) -> None:
    """A demo user signs in and is known by the token, role and all."""
    tokens = await manager.login(name, name)
    user = await real_backend.authenticate(tokens.access_token)
    assert (name, True) == (user.username, name in user.roles)
    assert "Bearer" == tokens.token_type
    assert 0 < tokens.expires_in <= 300
    assert user.session_id


async def test_roles_include_what_they_are_made_of(
    manager: KeycloakManager, real_backend: AuthBackend
) -> None:
    """An admin has the roles of editors and readers too."""
    tokens = await manager.login("admin", "admin")
    user = await real_backend.authenticate(tokens.access_token)
    assert {"reader", "editor", "admin"} <= user.roles


@pytest.mark.parametrize(
    ("client", "kind", "expected"),
    [
        (
            "gatehouse",
            "refresh_token",
            "The token's algorithm is not accepted",
        ),
        ("gatehouse", "id_token", "The token is not an access token"),
        ("other", "access_token", "The token is for another audience"),
        ("other", "id_token", "The token is not an access token"),
    ],
)
async def test_keycloaks_other_tokens_are_refused(
    real_backend: AuthBackend,
    tokens_of: Callable[..., dict[str, Any]],
    client: str,
    kind: str,
    expected: str,
) -> None:
    """A real token that is not an access token for us is refused."""
    tokens = tokens_of("admin", client)
    with pytest.raises(Unauthenticated) as refused:
        await real_backend.authenticate(tokens[kind])
    assert expected == refused.value.detail


async def test_another_issuer_is_refused(
    keycloak_settings: Settings, tokens_of: Callable[..., dict[str, Any]]
) -> None:
    """`KEYCLOAK_ISSUER` decides, wherever the keys come from."""
    keys = JWKSCache(keycloak_settings)
    backend = AuthBackend(keys, "https://public.example/realms/x", "gatehouse")
    token = tokens_of("reader", "gatehouse")["access_token"]
    with pytest.raises(Unauthenticated) as refused:
        await backend.authenticate(token)
    await keys.close()
    assert "The token is not from this issuer" == refused.value.detail


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("reader", PASSWORD),
        ("nobody", PASSWORD),
        (" ", PASSWORD),
        ("ré&a=d%+er", "&=%+é"),
        ("x" * 255, "y" * 1024),
    ],
)
async def test_a_wrong_login_is_refused(
    manager: KeycloakManager, username: str, password: str
) -> None:
    """The same sentence is said whether or not there is such a user."""
    with pytest.raises(Unauthenticated) as refused:
        await manager.login(username, password)
    assert WRONG_LOGIN == refused.value.detail


async def test_a_disabled_account_is_refused(
    manager: KeycloakManager, new_user: Callable[..., Any]
) -> None:
    """A disabled account looks like one that is not there."""
    name = await new_user(enabled=False)
    with pytest.raises(Unauthenticated) as refused:
        await manager.login(name, PASSWORD)
    assert WRONG_LOGIN == refused.value.detail


async def test_an_unfinished_account_is_told_so(
    manager: KeycloakManager, new_user: Callable[..., Any]
) -> None:
    """Who knows the password learns that something is to be done first."""
    name = await new_user(requiredActions=["UPDATE_PASSWORD"])
    with pytest.raises(Unauthenticated, match="not fully set up"):
        await manager.login(name, PASSWORD)
    with pytest.raises(Unauthenticated) as refused:
        await manager.login(name, "wrong")
    assert WRONG_LOGIN == refused.value.detail


async def test_refresh_gives_new_tokens(
    manager: KeycloakManager, real_backend: AuthBackend
) -> None:
    """A refresh token is exchanged for tokens of the same session."""
    first = await manager.login("reader", "reader")
    second = await manager.refresh(first.refresh_token)
    before = await real_backend.authenticate(first.access_token)
    after = await real_backend.authenticate(second.access_token)
    assert first.access_token != second.access_token
    assert before.session_id == after.session_id


async def test_logout_ends_the_session(manager: KeycloakManager) -> None:
    """After a log-out the refresh token is refused; a second does no harm."""
    tokens = await manager.login("reader", "reader")
    await manager.logout(tokens.refresh_token)
    await manager.logout(tokens.refresh_token)
    with pytest.raises(Unauthenticated) as refused:
        await manager.refresh(tokens.refresh_token)
    assert WRONG_TOKEN == refused.value.detail


@pytest.mark.parametrize("token", ["junk", "a.b.c", "é", " ", "&x=1"])
async def test_a_bad_refresh_token_is_refused(
    manager: KeycloakManager, token: str
) -> None:
    """What is no refresh token neither renews nor ends a session."""
    for use in (manager.refresh, manager.logout):
        with pytest.raises(Unauthenticated) as refused:
            await use(token)
        assert WRONG_TOKEN == refused.value.detail


async def test_an_access_token_does_not_refresh(
    manager: KeycloakManager,
) -> None:
    """An access token is not taken for a refresh token."""
    tokens = await manager.login("reader", "reader")
    with pytest.raises(Unauthenticated):
        await manager.refresh(tokens.access_token)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"], ids=ascii)
async def test_what_is_no_text_is_invalid(issuer: Issuer, text: str) -> None:
    """NUL and unpaired surrogates are not sent to Keycloak."""
    manager = KeycloakManager(issuer.settings())
    for call in (
        manager.login(text, PASSWORD),
        manager.login("reader", text),
        manager.refresh(text),
        manager.logout(text),
    ):
        with pytest.raises(InvalidInput):
            await call
    await manager.close()
    assert 0 == issuer.fetches


def error(status: int, code: str) -> Answer:
    """Return an OAuth error answer that repeats the secret."""
    body = {"error": code, "error_description": PASSWORD}
    return Answer(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(400, "invalid_grant"), Unauthenticated),
        (error(401, "invalid_grant"), Unauthenticated),
        (error(400, "invalid_request"), InvalidInput),
        (error(401, "invalid_client"), Unavailable),
        (error(400, "unauthorized_client"), Unavailable),
        (error(500, "unknown_error"), Unavailable),
        (Answer(404, b'{"error": "Realm does not exist"}'), Unavailable),
        (Answer(503, b"<html>private</html>", "text/html"), Unavailable),
        (Answer(200, b"<html>private</html>", "text/html"), Unavailable),
        (Answer(200, b'["private"]'), Unavailable),
        (Answer(200, b'{"access_token": "private"}'), Unavailable),
        (Answer(400, b'["private"]'), Unavailable),
        (Answer(400, b"[" * 100_000), Unavailable),
        (Answer(400, b"\xff"), Unavailable),
        (Answer(302, b""), Unavailable),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_answers_are_translated_without_secrets(
    issuer: Issuer, answer: Answer, expected: type[Exception]
) -> None:
    """Whatever Keycloak answers becomes a fact that repeats none of it."""
    issuer.answer = answer
    manager = KeycloakManager(issuer.settings())
    with capture_logs() as logs:
        for call in (
            manager.login("reader", PASSWORD),
            manager.refresh(PASSWORD),
        ):
            with pytest.raises(expected) as failed:
                await call
            assert PASSWORD not in str(failed.value)
            assert failed.value.__cause__ is None
            assert failed.value.__context__ is None
    await manager.close()
    assert PASSWORD not in str(logs)


async def test_keycloak_away_is_unavailable(issuer: Issuer) -> None:
    """A refused connection is no refused password."""
    manager = KeycloakManager(issuer.settings())
    issuer.stop()
    for call in (
        manager.login("reader", PASSWORD),
        manager.refresh(PASSWORD),
        manager.logout(PASSWORD),
    ):
        with pytest.raises(Unavailable) as failed:
            await call
        assert failed.value.__context__ is None
    await manager.close()


async def test_a_slow_keycloak_is_unavailable(issuer: Issuer) -> None:
    """No login takes longer than `KEYCLOAK_TIMEOUT_SECONDS`."""
    issuer.gate.clear()
    manager = KeycloakManager(issuer.settings(keycloak_timeout_seconds=0.05))
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable) as failed:
            await manager.login("reader", PASSWORD)
    await manager.close()
    assert failed.value.__context__ is None


async def test_logins_do_not_wait_for_each_other(issuer: Issuer) -> None:
    """A login that waits for Keycloak blocks neither the loop nor others."""
    issuer.gate.clear()
    issuer.answer = error(400, "invalid_grant")
    manager = KeycloakManager(issuer.settings())
    logins = [
        asyncio.create_task(manager.login(str(number), PASSWORD))
        for number in range(10)
    ]
    await asyncio.to_thread(issuer.wait_for_fetches, 10)
    issuer.gate.set()
    results = await asyncio.gather(*logins, return_exceptions=True)
    await manager.close()
    assert [Unauthenticated] * 10 == [type(result) for result in results]
