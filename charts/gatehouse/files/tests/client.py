"""What the tests of `helm test` have in common: a client of the release."""

import os
import ssl
import time

import httpx
from websockets.sync.client import ClientConnection, connect

URL = os.environ["SERVICE_URL"]
_DEADLINE_SECONDS = 60


def token() -> str:
    """Sign in at Keycloak as the client that was made for the tests."""
    authorities = os.environ.get("CA_FILE") or None
    context = ssl.create_default_context(cafile=authorities)
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["CLIENT_ID"],
        "client_secret": os.environ["CLIENT_SECRET"],
    }
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        answer = httpx.post(os.environ["TOKEN_URL"], data=form, verify=context)
        if answer.is_success or time.monotonic() > deadline:
            break
        time.sleep(1)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def http() -> httpx.Client:
    """A signed-in client of HTTP."""
    headers = {"Authorization": f"Bearer {token()}"}
    return httpx.Client(base_url=URL, headers=headers, timeout=30)


def socket() -> ClientConnection:
    """A signed-in socket."""
    headers = {"Authorization": f"Bearer {token()}"}
    url = f"{URL.replace('http', 'ws', 1)}/web"
    return connect(url, additional_headers=headers, open_timeout=30)
