"""Messages that only the bench sends, added as any team adds its own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum, unique
from typing import Annotated

from pydantic import Field

from app.routing import Context, PackageRouter
from app.schemas.me import Nothing
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.page import Input

pkg_router = PackageRouter()


@unique
class BenchID(IntEnum):
    """Numbers above the service's own."""

    REPEAT = 1000
    MEASURE_STALLS = 1001


class Words(Input):
    """Something to say again."""

    text: Annotated[str, Field(max_length=100)]


@pkg_router.register(BenchID.REPEAT, json_schema=Words)
async def repeat(request: RequestModel[Words], _: Context) -> ResponseModel:
    """Answer with what was sent; the chain around it is what costs."""
    return ResponseModel.success(request.pkg_id, request.req_id, request.data)


@pkg_router.register(BenchID.MEASURE_STALLS, json_schema=Nothing)
async def measure_stalls(
    request: RequestModel[Nothing], context: Context
) -> ResponseModel:
    """Tell for how long each of these keeps the event loop, in seconds."""
    rbac, keys = context.container.rbac, context.container.keys

    async def swap_role_map() -> None:
        if rbac.snapshot is not None:
            rbac.apply(rbac.snapshot.permission_map, source="bench")

    stalls = {
        "role map": await _longest_turn(swap_role_map),
        "keys": await _longest_turn(keys.refresh),
    }
    return ResponseModel.success(request.pkg_id, request.req_id, stalls)


async def _longest_turn(work: Callable[[], Awaitable[object]]) -> float:
    """Return the most CPU that one turn of the event loop took meanwhile."""
    loop = asyncio.get_running_loop()
    longest, before = 0.0, time.thread_time()
    working = True

    def turn() -> None:
        nonlocal longest, before
        now = time.thread_time()
        longest, before = max(longest, now - before), now
        if working:
            loop.call_soon(turn)

    turn()
    await work()
    await asyncio.sleep(0)
    working = False
    return longest
