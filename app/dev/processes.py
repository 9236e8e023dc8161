"""Processes: each in a session of its own, so that only we signal it.

A terminal's Ctrl-C goes to the foreground group; our children are not in it
and are stopped by us, in order. Everything here polls, because a process
may be our child or one that an earlier start left behind.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from app.constants import DEV_POLL_SECONDS, DEV_STOP_TIMEOUT_SECONDS
from app.dev.errors import StartFailed


@dataclass(frozen=True)
class Account:
    """The system account that a process runs as."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    account: Account | None = None,
) -> psutil.Popen:
    """Start a process; without a log its output is ours.

    Raises:
        StartFailed: The program is missing or cannot run here.
    """
    arguments = [str(part) for part in command]
    output = None if log is None else _new_log(log)
    try:
        return psutil.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=cwd,
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    except OSError as error:
        raise StartFailed(
            f"{arguments[0]} cannot run here: {error.strerror}"
        ) from error
    finally:
        if output is not None:
            output.close()


def _new_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


async def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    account: Account | None = None,
) -> None:
    """Run a program to its end; a cancelled one is killed.

    Raises:
        StartFailed: It could not run, or ended with an error.
    """
    process = spawn(
        command, log=log, environment=environment, cwd=cwd, account=account
    )
    try:
        await ended(process)
    finally:
        await stop(process, signal.SIGKILL)
    if process.wait() != 0:
        raise StartFailed(f"{Path(command[0]).name} failed: {tail(log)}")


def is_alive(process: psutil.Process) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    try:
        return (
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


async def ended(process: psutil.Process) -> None:
    """Wait until a process, our child or not, has ended."""
    while is_alive(process):  # noqa: ASYNC110  (no event tells about others')
        await asyncio.sleep(DEV_POLL_SECONDS)


async def first_ended(running: Sequence[psutil.Popen]) -> psutil.Popen:
    """Wait until one of these processes has ended, and return it."""
    while True:
        for process in running:
            if not is_alive(process):
                return process
        await asyncio.sleep(DEV_POLL_SECONDS)


async def stop(
    process: psutil.Process,
    number: signal.Signals = signal.SIGTERM,
    seconds: float = DEV_STOP_TIMEOUT_SECONDS,
) -> None:
    """Signal a process and wait; its group is killed after `seconds`."""
    if is_alive(process):
        process.send_signal(number)
    try:
        await asyncio.wait_for(ended(process), seconds)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await ended(process)
    if isinstance(process, psutil.Popen):
        # Before its id is given back, whatever it has left running.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log: Path) -> str:
    """Return the last line of a log, and where the rest is."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    return f"{last} (log: {log})"
