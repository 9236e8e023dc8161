"""When garbage is looked for, and that connections and errors leave none."""

import asyncio
import gc
import time
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
)
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from multiprocessing import get_context
from types import FrameType
from typing import Any, NoReturn

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID, RSPCode
from app.constants import LOOP_LOOK_SECONDS
from app.tasks.garbage import collect_garbage
from tests.fixtures.service import Service
from tests.fixtures.sockets import ask, next_reply, open_socket

SECONDS = 10
SELDOM = 1_000_000
OURS = ("app.", "uvicorn.", "uvloop.", "httptools.")


class Knot:
    """Refers to itself, so nobody but the collector lets go of it."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def collecting(
    many: int, all_after: int = SELDOM
) -> AsyncIterator[asyncio.Task[NoReturn]]:
    """Run the task with what is many, and what is seldom."""
    task = asyncio.create_task(collect_garbage(0.01, many, all_after))
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


Scenario = Callable[[], Coroutine[Any, Any, None]]
SCENARIOS: dict[str, Scenario] = {}


def alone(scenario: Scenario) -> Callable[[Executor], None]:
    """Let a test run in a process in which nobody else makes objects."""
    SCENARIOS[scenario.__name__] = scenario

    def test(process: Executor) -> None:
        process.submit(run, scenario.__name__).result(SECONDS * 2)

    test.__doc__ = scenario.__doc__
    return test


def run(scenario: str) -> None:
    """Run one, in that process."""
    asyncio.run(SCENARIOS[scenario]())


@pytest.fixture(scope="module")
def process() -> Iterator[Executor]:
    """A process with nothing in it but this module."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        yield executor


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen."""
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)


def are_left_out() -> bool:
    """Whether no knot is looked through any more."""
    return not any(type(thing) is Knot for thing in gc.get_objects())


@alone
async def test_what_is_garbage_soon_is_found_soon() -> None:
    """It is found among what is new."""
    async with collecting(many=SELDOM):
        knot = weakref.ref(Knot())
        assert knot() is not None
        await until(lambda: knot() is None)


@alone
async def test_what_is_garbage_later_is_found_when_there_is_much() -> None:
    """What has been seen in use once is looked through once more."""
    async with collecting(many=1000):
        knots = [Knot() for _ in range(500)]
        await until(lambda: any(type(x) is Knot for x in gc.get_objects(1)))
        first = weakref.ref(knots[0])
        knots.clear()
        assert first() is not None
        knots += [Knot() for _ in range(1500)]
        await until(lambda: first() is None)


@alone
async def test_what_is_much_and_lasts_is_looked_through_no_more() -> None:
    """A look takes as long as one through what is newer."""
    async with collecting(many=1000):
        knots = [Knot() for _ in range(3000)]
        assert knots
        assert not are_left_out()
        await until(are_left_out)


@alone
async def test_what_has_been_seen_costs_nothing_while_there_is_no_more() -> (
    None
):
    """What nobody uses is not even counted at each look."""
    async with collecting(many=SELDOM):
        knots = [Knot() for _ in range(300_000)]
        await asyncio.sleep(0.2)
        assert knots
        before = time.thread_time()
        await asyncio.sleep(0.5)
        looked = time.thread_time()  # 50 times
        assert len(gc.get_objects()) > len(knots)
        counted = time.thread_time()  # once
        assert looked - before < 10 * (counted - looked)


@alone
async def test_what_was_left_out_is_looked_through_in_the_end() -> None:
    """What was garbage only then does not stay for ever."""
    async with collecting(many=100, all_after=3):
        knots = [Knot() for _ in range(1000)]
        await until(are_left_out)
        first = weakref.ref(knots[0])
        knots.clear()
        assert first() is not None
        while first() is not None:
            knots += [Knot() for _ in range(1000)]
            await until(are_left_out)


@alone
async def test_python_looks_by_itself_again_afterwards() -> None:
    """Whoever runs a service in his process finds it as it was."""
    async with collecting(many=SELDOM) as task:
        await asyncio.sleep(0.05)
        assert not gc.isenabled()
        assert gc.get_freeze_count()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gc.isenabled()
        assert not gc.get_freeze_count()


@pytest.fixture
async def saved(service: Service) -> AsyncIterator[list[Any]]:
    """What would be left to look for; it is kept instead."""
    gc.unfreeze()
    gc.disable()
    gc.garbage.clear()
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.unfreeze()
    gc.enable()
    await until_let_in(service)


async def until_let_in(service: Service) -> None:
    """Wait until the service opens sockets.

    It shares the interpreter, and to look through everything here makes it
    late, which it notices at its next look.
    """
    await asyncio.sleep(2 * LOOP_LOOK_SECONDS)
    await until(lambda: not service.container.admission.is_late)


def kinds(garbage: list[Any]) -> set[str]:
    """The server's own kinds of objects among them."""
    gc.unfreeze()
    gc.collect()
    return {name for name in map(kind, garbage) if name.startswith(OURS)}


def kind(thing: Any) -> str:
    """Where something is from: a function's frame is from its module."""
    if type(thing) is FrameType:  # a dead proxy has no class to ask
        module = thing.f_globals.get("__name__")
        return f"{module}.{thing.f_code.co_name}"
    return f"{type(thing).__module__}.{type(thing).__name__}"


async def until_gone(service: Service) -> None:
    """Wait until the service has noticed that nobody is there any more."""
    state = service.server.server_state
    deadline = time.monotonic() + SECONDS
    while state.connections or state.tasks:
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def leaves_nothing(
    service: Service, saved: list[Any], happen: Callable[[], Awaitable[None]]
) -> None:
    """Check that what happens leaves no garbage, one time of three at least.

    A call to a server that fails in the background meanwhile does leave some.
    To look through all that tests have made takes so long that calls fail
    because of it; what they leave is gone before anything happens.
    """
    for _ in range(3):
        gc.set_debug(0)
        saved.clear()
        gc.collect()
        gc.freeze()
        await until_let_in(service)
        gc.collect()  # quickly: only what calls have left that failed
        gc.set_debug(gc.DEBUG_SAVEALL)
        await happen()
        await until_gone(service)
        found = kinds(saved)
        if not found:
            return
    assert set() == found


async def closed(socket: ClientConnection) -> None:
    """Leave as one should."""
    await socket.close()


async def aborted(socket: ClientConnection) -> None:
    """Leave without a word."""
    socket.transport.abort()


@pytest.mark.parametrize("leave", [closed, aborted])
async def test_a_socket_that_has_gone_leaves_no_garbage(
    service: Service,
    sign_in: Callable[[str], str],
    saved: list[Any],
    leave: Callable[[ClientConnection], Awaitable[None]],
) -> None:
    """Nothing of it refers to itself, so its memory is free at once."""

    async def happen() -> None:
        for _ in range(3):
            async with open_socket(service, sign_in("reader")) as socket:
                await ask(socket, 1, {"limit": 1})
                await leave(socket)

    await leaves_nothing(service, saved, happen)


async def test_a_connection_that_has_gone_leaves_no_garbage(
    service: Service, saved: list[Any]
) -> None:
    """The same is true of HTTP."""

    async def happen() -> None:
        for _ in range(3):
            async with httpx.AsyncClient() as client:
                for path in ("/livez", "/me", "/livez"):
                    await client.get(service.url + path)

    await leaves_nothing(service, saved, happen)


REFUSED = {
    "found invalid": ({"named": "x"}, HTTPStatus.UNPROCESSABLE_ENTITY),
    "refused by the database": ({"name": "Twice"}, HTTPStatus.CONFLICT),
}


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_request_leaves_no_garbage(
    service: Service,
    sign_in: Callable[[str], str],
    saved: list[Any],
    body: dict[str, str],
    status: HTTPStatus,
) -> None:
    """An error's traceback is let go of when it has been answered."""
    headers = {"Authorization": f"Bearer {sign_in('admin')}"}
    url = service.url + "/authors"

    async def happen() -> None:
        async with httpx.AsyncClient(headers=headers) as client:
            for _ in range(3):
                answer = await client.post(url, json=body)
                assert status == answer.status_code

    async with httpx.AsyncClient(headers=headers) as client:
        await client.post(url, json={"name": "Twice"})
    await leaves_nothing(service, saved, happen)


async def test_a_refused_message_leaves_no_garbage(
    service: Service, sign_in: Callable[[str], str], saved: list[Any]
) -> None:
    """The same is true on a socket, whatever it is refused for."""
    twice = {"name": "Twice on a socket"}

    async def happen() -> None:
        async with open_socket(service, sign_in("admin")) as socket:
            for _ in range(3):
                answer = await ask(socket, PkgID.CREATE_AUTHOR, twice)
                assert RSPCode.CONFLICT == answer["status_code"]
                answer = await ask(socket, PkgID.CREATE_AUTHOR, {"named": "x"})
                assert RSPCode.INVALID_DATA == answer["status_code"]
                await socket.send("unreadable")
                answer = await next_reply(socket)
                assert RSPCode.INVALID_DATA == answer["status_code"]

    async with open_socket(service, sign_in("admin")) as socket:
        await ask(socket, PkgID.CREATE_AUTHOR, twice)
    await leaves_nothing(service, saved, happen)
