"""Makes the faults of a schedule."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from tests.fixtures.proxy import Proxy
from tests.soak.pods import Pod
from tests.soak.schedule import Fault

_SLOW_SECONDS = 0.15


class Chaos:
    """Breaks pods and wires; each by itself, so that faults overlap.

    Args:
        pods: The processes.
        wires: Those to Redis and PostgreSQL.
        servers: What is done to a server itself, by the fault's name.
    """

    def __init__(
        self,
        pods: Sequence[Pod],
        wires: Mapping[str, Proxy],
        servers: Mapping[str, Callable[[], Awaitable[None]]],
    ) -> None:
        self._pods = {f"pod {n}": pod for n, pod in enumerate(pods)}
        self._wires = wires
        self._servers = servers

    async def run(self, schedule: Sequence[Fault], seconds: float) -> None:
        """Make every fault when it is due; return when all is well again.

        Where a pod takes long to start, what was due then is late, and left
        out when the time is up.
        """
        began = asyncio.get_running_loop().time()
        lanes = groupby(
            sorted(schedule, key=attrgetter("target", "at")),
            key=attrgetter("target"),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(seconds))
            for _, faults in lanes:
                group.create_task(self._run_lane(list(faults), began, seconds))
        for pod in self._pods.values():
            await pod.settled()

    async def _run_lane(
        self, faults: Sequence[Fault], began: float, seconds: float
    ) -> None:
        for fault in faults:
            now = asyncio.get_running_loop().time() - began
            if now > seconds:
                return
            await asyncio.sleep(fault.at - now)
            await self._make(fault)

    async def _make(self, fault: Fault) -> None:
        pod = self._pods.get(fault.target)
        if pod is not None:
            await pod.fail(fault.kind, fault.seconds)
        elif fault.kind in self._servers:
            await self._servers[fault.kind]()
        else:
            await _break(self._wires[fault.target], fault)


async def _break(wire: Proxy, fault: Fault) -> None:
    if fault.kind == "reset":
        wire.reset()
    elif fault.kind == "half-close":
        wire.half_close()
    elif fault.kind == "cut":
        wire.stop()
        await asyncio.sleep(fault.seconds)
        wire.start()
    else:
        if fault.kind == "slow":
            wire.slow(_SLOW_SECONDS)
        else:
            wire.swallow()
        await asyncio.sleep(fault.seconds)
        wire.release()
