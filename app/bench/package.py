"""Messages that only the bench sends, added as any team adds its own."""

import asyncio
import time
from enum import IntEnum, unique
from typing import Annotated
from uuid import uuid4

from pydantic import Field

from app.api.ws.constants import RSPCode
from app.routing import Context, PackageRouter
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.page import Input
from app.schemas.user import UserModel
from app.storage.audit import Action, AuditQueue

pkg_router = PackageRouter()

_LOOK_SECONDS = 0.01


@unique
class BenchID(IntEnum):
    """Numbers above the service's own."""

    REPEAT = 1000
    WATCH_LOOP = 1001
    AUDIT = 1002


class Words(Input):
    """Something to say again."""

    text: Annotated[str, Field(max_length=100)]


class Watch(Input):
    """For how long to watch."""

    seconds: Annotated[float, Field(gt=0, le=5)]


class Rows(Input):
    """How many rows to make."""

    count: Annotated[int, Field(ge=1, le=20_000)]


@pkg_router.register(BenchID.REPEAT, json_schema=Words)
async def repeat(request: RequestModel[Words], _: Context) -> ResponseModel:
    """Answer with what was sent; the chain around it is what costs."""
    return ResponseModel.success(request.pkg_id, request.req_id, request.data)


@pkg_router.register(BenchID.WATCH_LOOP, json_schema=Watch)
async def watch_loop(
    request: RequestModel[Watch], _: Context
) -> ResponseModel:
    """Tell how long the longest turn of the event loop took meanwhile."""
    cpu, clock = await _longest_turn(request.data.seconds)
    longest = {"cpu_seconds": cpu, "clock_seconds": clock}
    return ResponseModel.success(request.pkg_id, request.req_id, longest)


@pkg_router.register(BenchID.AUDIT, json_schema=Rows)
async def audit(
    request: RequestModel[Rows], context: Context
) -> ResponseModel:
    """Tell what it cost to make so many audit rows, and to store them."""
    queue = context.container.audit
    await _stored(queue)  # a single row more would wait for its batch
    began = time.process_time()
    for _ in range(request.data.count):
        _act(context.user, queue)
    made = time.process_time()
    await _stored(queue)
    stored = time.process_time()
    costs = {"make_seconds": made - began, "store_seconds": stored - made}
    return ResponseModel.success(request.pkg_id, request.req_id, costs)


async def _stored(queue: AuditQueue) -> None:
    while queue:  # noqa: ASYNC110  (the writer tells nobody)
        await asyncio.sleep(_LOOK_SECONDS)


def _act(user: UserModel, queue: AuditQueue) -> None:
    action = Action(
        user=user,
        protocol="ws",
        name="ws REPEAT",
        writes=False,
        address="127.0.0.1",
        req_id=_REQ_ID,
    )
    queue.settle(action, RSPCode.OK)


_REQ_ID = str(uuid4())


async def _longest_turn(seconds: float) -> tuple[float, float]:
    """Return the longest turn, in seconds of CPU and by the clock."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    longest = [0.0, 0.0]
    before = (time.thread_time(), time.perf_counter())
    end = before[1] + seconds

    def turn() -> None:
        nonlocal before
        now = (time.thread_time(), time.perf_counter())
        for i in range(len(now)):
            longest[i] = max(longest[i], now[i] - before[i])
        before = now
        if now[1] < end:
            loop.call_soon(turn)
        else:
            over.set_result(None)

    turn()
    await over
    return longest[0], longest[1]
