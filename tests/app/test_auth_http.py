"""Signing in and out over HTTP."""

from typing import Any

import httpx
import pytest

LOGIN = {"username": "reader", "password": "reader"}


async def login(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return a demo user's tokens."""
    response = await client.post("/auth/login", json=LOGIN)
    tokens: dict[str, Any] = response.raise_for_status().json()
    return tokens


async def test_login_gives_four_things(client: httpx.AsyncClient) -> None:
    """The answer is what the contract says, and nobody keeps it."""
    response = await client.post("/auth/login", json=LOGIN)
    expected = {"access_token", "refresh_token", "expires_in", "token_type"}
    assert 200 == response.status_code
    assert expected == set(response.json())
    assert "no-store" == response.headers["Cache-Control"]


async def test_the_token_signs_in(client: httpx.AsyncClient) -> None:
    """The access token of a login is good for a request."""
    token = (await login(client))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    response = await client.get("/me", headers=headers)
    assert 200 == response.status_code


@pytest.mark.parametrize("username", ["reader", "nobody"])
async def test_a_failed_login_tells_nothing(
    client: httpx.AsyncClient, username: str
) -> None:
    """401 with one sentence, whether or not the user exists."""
    body = {"username": username, "password": "wrong"}
    response = await client.post("/auth/login", json=body)
    expected = "The user name or the password is wrong"
    assert 401 == response.status_code
    assert expected == response.json()["detail"]
    assert "WWW-Authenticate" in response.headers


async def test_refresh_and_logout(client: httpx.AsyncClient) -> None:
    """A session is renewed, ended, and then can't be renewed again."""
    body = {"refresh_token": (await login(client))["refresh_token"]}
    renewed = await client.post("/auth/refresh", json=body)
    ended = await client.post("/auth/logout", json=body)
    late = await client.post("/auth/refresh", json=body)
    statuses = [r.status_code for r in (renewed, ended, late)]
    assert [200, 204, 401] == statuses
    assert b"" == ended.content


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/auth/login", {}, ["username", "password"]),
        ("/auth/login", {"username": "reader"}, ["password"]),
        ("/auth/login", {"username": "", "password": "x"}, ["username"]),
        ("/auth/login", {"username": 1, "password": "x"}, ["username"]),
        ("/auth/login", {**LOGIN, "extra": 1}, ["extra"]),
        ("/auth/login", {**LOGIN, "username": "a\0b"}, ["username"]),
        ("/auth/login", {**LOGIN, "password": "a\0b"}, ["password"]),
        ("/auth/refresh", {}, ["refresh_token"]),
        ("/auth/refresh", {"refresh_token": "\0"}, ["refresh_token"]),
        ("/auth/refresh", {"refresh_token": "x" * 16_385}, ["refresh_token"]),
        ("/auth/logout", {"refresh_token": None}, ["refresh_token"]),
        ("/auth/logout", {"refresh_token": "\0"}, ["refresh_token"]),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_unreadable_input(
    client: httpx.AsyncClient,
    path: str,
    body: dict[str, Any],
    wrong: list[str],
) -> None:
    """What is no input is answered 422, which names each field."""
    response = await client.post(path, json=body)
    assert 422 == response.status_code
    places = [error["loc"] for error in response.json()["errors"]]
    assert [["body", name] for name in wrong] == places
