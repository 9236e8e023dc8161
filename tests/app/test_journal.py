"""Whatever breaks, nothing that was acknowledged is lost or done twice.

`make soak SECONDS=600 SEED=7` runs the same for as long as one likes.
"""

import os
import secrets
from collections.abc import Callable

import pytest

from tests.fixtures.servers import Servers
from tests.soak.local import local
from tests.soak.reckon import reckon
from tests.soak.run import Crowd, run, summary
from tests.soak.schedule import make_schedule

SignIn = Callable[[str], str]
SECONDS = float(os.environ.get("SOAK_SECONDS") or 30)
SEED = int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**6))


@pytest.mark.timeout(SECONDS + 180)
async def test_nothing_is_lost_or_doubled(
    servers: Servers, sign_in: SignIn
) -> None:
    """Pods end and die, Redis and PostgreSQL come and go, at random."""
    schedule = make_schedule(SEED, SECONDS)
    print(f"make soak SECONDS={SECONDS:.0f} SEED={SEED}")  # noqa: T201
    print(*schedule, sep="\n")  # noqa: T201
    async with local(servers, lambda: sign_in("editor")) as here:
        faults = here.chaos.run(schedule, SECONDS)
        await run(here.stage, SEED, Crowd(), faults)
        statuses = await here.end()
        findings = reckon(here.stage.journal, await here.tables())
    errors = [e for pod in here.pods for e in pod.exceptions]
    print(summary(here.stage.journal))  # noqa: T201
    print(*findings, *errors, sep="\n")  # noqa: T201
    assert ([], [], [0, 0, 0]) == (findings, errors, statuses)
