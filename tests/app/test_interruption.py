"""A test run that is interrupted or killed leaves no process behind."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from pathlib import Path

import psutil

from app.dev.config import ROOT
from tests.fixtures.dev import NO_SERVER, is_running

START_SECONDS = 60
END_SECONDS = 20
"""Of which a busy process is given five to end by itself, then killed."""

RUN = """
import asyncio
from pathlib import Path

from tests.fixtures.processes import GUNICORN, started

async def test_that_never_ends(servers):
    async with started(GUNICORN, servers.environment) as service:
        while b"listening" not in await service.process.stdout.readline():
            pass
        Path(__file__).with_suffix(".busy").touch()
        await asyncio.Event().wait()
"""

LAUNCH = """
import signal, sys, pytest
# A shell's background jobs are started to ignore Ctrl-C, and these too then.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""
PLUGINS = (
    "pytest_asyncio.plugin",
    "xdist.plugin",
    "tests.fixtures.servers",
    "tests.fixtures.sweeper",
    "tests.fixtures.processes",
)


async def _interrupted(
    folder: Path, interrupt: Callable[[Process], None]
) -> list[str]:
    """Interrupt a run, and return which processes it had, once all ended."""
    test = folder / f"test_{interrupt.__name__}.py"
    test.write_text(RUN, encoding="utf-8")
    run = await _start(folder, test)
    async with asyncio.timeout(START_SECONDS):
        while not test.with_suffix(".busy").exists():
            said = test.with_suffix(".said").read_text("utf-8")
            assert run.returncode is None, said
            await asyncio.sleep(0.05)
    started = psutil.Process(run.pid).children(recursive=True)
    names = [" ".join(process.cmdline()) for process in started]
    interrupt(run)
    async with asyncio.timeout(END_SECONDS):
        await run.wait()
        while any(  # noqa: ASYNC110  (no event tells of others' ends)
            is_running(process.pid) for process in started
        ):
            await asyncio.sleep(0.05)
    return names


async def _start(folder: Path, test: Path) -> Process:
    """Run a test in a process of pytest-xdist's, with servers of its own."""
    with test.with_suffix(".said").open("wb") as said:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LAUNCH, "--rootdir", folder, test),
            *("--asyncio-mode=auto", "--numprocesses=1"),
            *(f"-p{name}" for name in PLUGINS),
            env={
                **os.environ,
                "DEV_DATA_DIR": str(folder),
                "KEYCLOAK_BASE_URL": NO_SERVER["KEYCLOAK_BASE_URL"],
                "KEYCLOAK_CLIENT_ID": "gatehouse",
                "KEYCLOAK_REALM": "gatehouse",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            cwd=ROOT,
            stdin=DEVNULL,
            stdout=said,
            start_new_session=True,
        )


def _ctrl_c(run: Process) -> None:
    os.killpg(run.pid, signal.SIGINT)


async def test_nothing_is_left(tmp_path: Path) -> None:
    """Servers and services have ended soon, whatever has ended the run."""
    names = await asyncio.gather(
        *(
            _interrupted(tmp_path, interrupt)
            for interrupt in (_ctrl_c, Process.terminate, Process.kill)
        )
    )

    for kind in ("bin/postgres -D", "valkey-server", "gunicorn"):
        assert [kind in "\n".join(found) for found in names] == [True] * 3
