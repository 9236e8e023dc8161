"""The demo realm, asked over HTTP as its clients do."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.fixtures.servers import Servers

ROLES = {"reader", "editor", "admin"}


async def _claims(servers: Servers, user: str, client: str) -> Any:
    url = f"{servers.keycloak_base_url}/realms/{servers.realm}"
    form = {
        "grant_type": "password",
        "client_id": client,
        "username": user,
        "password": user,
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{url}/protocol/openid-connect/token", data=form
        )
    token = answer.raise_for_status().json()["access_token"]
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("reader", {"reader"}),
        ("editor", {"reader", "editor"}),
        ("admin", {"reader", "editor", "admin"}),
    ],
)
async def test_each_user_has_the_roles_below_his_own(
    servers: Servers, user: str, expected: set[str]
) -> None:
    """A demo user signs in with his name; his roles contain the lower."""
    claims = await _claims(servers, user, "gatehouse")

    assert expected == ROLES & set(claims["realm_access"]["roles"])
    assert user == claims["preferred_username"]


async def test_tokens_are_for_gatehouse_and_short(servers: Servers) -> None:
    """`iss` is the realm as the service knows it, `aud` names the client."""
    claims = await _claims(servers, "reader", "gatehouse")

    assert f"{servers.keycloak_base_url}/realms/gatehouse" == claims["iss"]
    assert "gatehouse" in claims["aud"]
    assert claims["exp"] - claims["iat"] == 300
    assert "sid" in claims


async def test_another_clients_tokens_are_not_for_gatehouse(
    servers: Servers,
) -> None:
    """Neither `aud` nor `azp` names our client."""
    claims = await _claims(servers, "admin", "other")

    assert claims["azp"] == "other"
    assert "gatehouse" not in claims.get("aud", ())


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        ("http://localhost:8000/docs", 200),
        ("http://127.0.0.1:43210/", 200),
        ("http://example.com/", 400),
    ],
)
async def test_browsers_return_to_this_machine_only(
    servers: Servers, redirect: str, expected: int
) -> None:
    """Any port of the loopback interface may receive a sign-in."""
    query = {
        "client_id": servers.client_id,
        "response_type": "code",
        "redirect_uri": redirect,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    url = f"{servers.keycloak_base_url}/realms/{servers.realm}"

    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(
            f"{url}/protocol/openid-connect/auth", params=query
        )

    assert expected == answer.status_code


async def test_events_are_recorded(servers: Servers) -> None:
    """User and admin events are on: later features read them."""
    base = servers.keycloak_base_url
    form = {
        "grant_type": "password",
        "client_id": "admin-cli",
        "username": servers.keycloak_admin_user,
        "password": servers.keycloak_admin_password,
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        signed_in = await http.post(
            f"{base}/realms/master/protocol/openid-connect/token", data=form
        )
        token = signed_in.raise_for_status().json()["access_token"]
        realm = await http.get(
            f"{base}/admin/realms/{servers.realm}",
            headers={"Authorization": f"Bearer {token}"},
        )

    settings = realm.raise_for_status().json()
    assert (
        settings["eventsEnabled"],
        settings["adminEventsEnabled"],
    ) == (True, True)
