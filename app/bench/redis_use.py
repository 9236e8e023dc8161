"""How often Redis is asked for messages that come as steadily as users'."""

import asyncio
from typing import Final

from app.bench.load import loaded
from app.bench.rows import CHAIN, Row
from app.bench.runner import Runner
from app.bench.stage import KEPT
from app.bench.target import make_service

USERS: Final = 200
PER_SECOND: Final = 100
_WARM_UP: Final = (6 * PER_SECOND, 1 / 3)
"""Messages a second, and for which part of the time that is measured."""
_SETTLE_SECONDS: Final = 1.0


async def measure_redis(runner: Runner) -> Row:
    """Count commands for 6,000 messages a minute of 200 users.

    The limits are the contract's. What the process asks while nobody says
    anything is counted before, and left out.
    """
    stage, seconds = runner.stage, runner.plan.steady_seconds
    rate, part = _WARM_UP
    scripts = [CHAIN.script(token) for token in stage.crowd.tokens(USERS)]
    async with (
        stage.redis_seen() as (redis, settings),
        stage.target(make_service, **KEPT, **settings) as target,
        loaded(target.port, scripts) as load,
    ):
        await asyncio.sleep(_SETTLE_SECONDS)
        before = redis.asked
        await asyncio.sleep(seconds)
        idle = redis.asked - before
        await load.pace(rate, part * seconds)
        before = redis.asked
        with runner.watched(target):
            answers = len(await load.pace(PER_SECOND, seconds))
        busy = redis.asked - before
    return Row(
        "Redis operations per message, steady",
        max(0, busy - idle) / answers,
        "operations",
        must=0.1,
        aim=0.05,
        note=f"{busy} for {answers} messages of {USERS} users, less {idle} "
        "of an idle process",
    )
