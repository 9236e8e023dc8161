"""What the tests of `helm test` have in common: a client of the release."""

import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

URL = os.environ["SERVICE_URL"]
_DEADLINE_SECONDS = 60
_SECONDS = 30
_ROLES = {"reader", "editor"}


def http() -> httpx.Client:
    """A client of HTTP that may do what the tests do."""
    return httpx.Client(base_url=URL, headers=_signed_in(), timeout=_SECONDS)


@contextmanager
def socket() -> Iterator[ClientConnection]:
    """A socket that may do what the tests do."""
    url = f"{URL.replace('http', 'ws', 1)}/web"
    headers = _signed_in()
    with connect(url, additional_headers=headers, open_timeout=_SECONDS) as ws:
        yield ws


def received(ws: ClientConnection, **wanted: object) -> dict[str, Any]:
    """The next message that has these fields, whatever comes before it.

    Others may write meanwhile, and the socket is told of it.

    Raises:
        TimeoutError: None has come in time.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        message = json.loads(ws.recv(max(0.0, deadline - time.monotonic())))
        if wanted.items() <= message.items():
            return dict(message)


def _signed_in() -> dict[str, str]:
    """Sign in at Keycloak as the client that was made for the tests.

    It is made as the tests begin, so Keycloak may be busy with it, and what
    there is may be left of the tests before: its roles tell that it is done.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            headers = {"Authorization": f"Bearer {_token()}"}
            me = httpx.get(f"{URL}/me", headers=headers, timeout=_SECONDS)
            roles = me.raise_for_status().json()["roles"]
        except httpx.HTTPError as error:
            problem = str(error)
        else:
            if set(roles) >= _ROLES:
                return headers
            problem = f"the token has only these roles: {roles}"
        assert time.monotonic() < deadline, problem
        time.sleep(1)


def _token() -> str:
    authorities = os.environ.get("CA_FILE") or None
    answer = httpx.post(
        os.environ["TOKEN_URL"],
        data={
            "grant_type": "client_credentials",
            "client_id": os.environ["CLIENT_ID"],
            "client_secret": os.environ["CLIENT_SECRET"],
        },
        verify=ssl.create_default_context(cafile=authorities),
        timeout=_SECONDS,
    )
    return str(answer.raise_for_status().json()["access_token"])
