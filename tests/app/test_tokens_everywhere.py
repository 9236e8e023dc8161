"""Bad tokens are refused with a reason, in every way a token can come."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.issued import Issued
from tests.fixtures.service import Service
from tests.fixtures.sockets import ask, open_socket, request
from tests.fixtures.tokens import Issuer, rsa_key

Way = Callable[[Service, str], Awaitable[int | str]]


async def over_http(service: Service, token: str) -> int | str:
    """Send the token with a request; return the status."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{service.url}/me", headers=headers)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        assert answer.json()["detail"] in answer.headers["www-authenticate"]
    return answer.status_code


async def in_header(service: Service, token: str) -> int | str:
    """Send the token as the handshake's header."""
    return await _handshake(
        service, headers={"Authorization": f"Bearer {token}"}
    )


async def in_subprotocol(service: Service, token: str) -> int | str:
    """Send the token as a subprotocol."""
    return await _handshake(
        service, subprotocols=["gatehouse.v1", f"bearer.{token}"]
    )


async def in_query(service: Service, token: str) -> int | str:
    """Send the token in the query."""
    return await _handshake(service, query=f"?Authorization=Bearer%20{token}")


async def _handshake(service: Service, **options: Any) -> int | str:
    try:
        async with open_socket(service, **options) as socket:
            reply = await ask(socket, PkgID.ME)
    except InvalidStatus as refusal:
        response = refusal.response
        assert response.status_code == json.loads(response.body)["status"]
        return response.status_code
    return 200 if reply["status_code"] == RSPCode.OK else "refused"


async def in_first_message(service: Service, token: str) -> int | str:
    """Send the token with the first message."""
    async with open_socket(service) as socket:
        message = request(PkgID.AUTHENTICATE, {"token": token})
        await socket.send(json.dumps(message))
        reply = json.loads(await socket.recv())
        if reply["status_code"] == RSPCode.OK:
            return 200
        assert reply["status_code"] == RSPCode.UNAUTHENTICATED
        assert reply["data"]["msg"]
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        return 401 if socket.close_code == 4401 else "closed"


WAYS = [over_http, in_header, in_subprotocol, in_query, in_first_message]

BAD: dict[str, Callable[[Issuer], str]] = {
    "another issuer": lambda i: i.mint(iss="https://elsewhere.example"),
    "another audience": lambda i: i.mint(aud="x", azp="x"),
    "no algorithm": lambda i: i.mint(alg="none"),
    "HS256 with the public key": lambda i: i.mint(
        key=rsa_key().as_pem(private=False)
    ),
    "a refresh token": lambda i: i.mint(typ="Refresh"),
    "an ID token": lambda i: i.mint(typ="ID"),
    "expired": lambda i: i.mint(exp=1),
    "not yet valid": lambda i: i.mint(nbf=4_000_000_000),
    "truncated": lambda i: i.mint()[:-20],
    "not signed by the key it names": lambda i: i.mint(
        key=rsa_key("second"), header={"kid": "first"}
    ),
    "rubbish": lambda _: "rubbish",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_refused(
    issued: Issued, way: Way, kind: str
) -> None:
    """It is a 401, or reply 6 and close 4401 in the first message."""
    assert await way(issued.service, BAD[kind](issued.issuer)) == 401


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_token_of_16_kib_is_accepted(issued: Issued, way: Way) -> None:
    """The largest token works however it comes."""
    token = issued.issuer.mint_sized(16 * 1024)
    assert await way(issued.service, token) == 200


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("size", [16 * 1024 + 1, 40 * 1024])
async def test_a_longer_token_is_refused(
    issued: Issued, way: Way, size: int
) -> None:
    """It gets 401, or 431 where it is too much for the headers."""
    token = issued.issuer.mint_sized(size)
    assert await way(issued.service, token) in {401, 431}
