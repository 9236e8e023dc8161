"""A core for the server that is measured, and turns as soon as they are due.

The generator of the load, PostgreSQL and Redis are elsewhere in production.
Here they share the server's cores, and the kernel likes to put who is woken
up on the core of who wakes him up: the server then waits for a statement of
1 ms, or for the generator, while another core is idle.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil

from app.bench.cpu import family


@contextmanager
def apart(
    server: psutil.Process, helpers: Iterable[psutil.Process]
) -> Iterator[None]:
    """Keep a server on one core, and who is around it on the others.

    Where there is one core only, or none can be chosen, nothing changes.

    Args:
        server: What is measured.
        helpers: Those that it asks; what they start is kept there as well.
            Every thread gets back the cores that it had.
    """
    generator = psutil.Process()
    cores = sorted(_cores(generator.pid))
    if not cores[1:]:
        yield
        return
    around = [generator, *(p for helper in helpers for p in family(helper))]
    before = {
        thread: _cores(thread)
        for process in (server, *around)
        for thread in _threads(process)
    }
    measured = set(_threads(server))
    for thread in before:
        _keep(cores[-1:] if thread in measured else cores[:-1], thread)
    try:
        yield
    finally:
        for process in (server, *around):
            had = before.get(process.pid, set())
            for member in family(process):  # some are new
                for thread in _threads(member):
                    _keep(before.get(thread, had), thread)


@contextmanager
def prompt(*servers: psutil.Process) -> Iterator[None]:
    """Run this thread, and servers, as soon as they are woken up.

    A question that is asked late, or an answer that is read late, would be
    taken for a slow server; and the kernel gives others turns of several
    milliseconds on any core: its own threads, and programs that are not ours
    to move. This thread comes before the servers. Where the right to
    real-time priority is missing, nothing changes.

    Args:
        servers: Whose threads are to be prompt; those that they start
            meanwhile are as usual.
    """
    with ExitStack() as stack:
        for server in servers:
            for thread in _threads(server):
                stack.enter_context(_in_real_time(thread, 0))
        stack.enter_context(_in_real_time(0, 1))
        yield


@contextmanager
def _in_real_time(thread: int, above_lowest: int) -> Iterator[None]:
    with ExitStack() as stack:
        # No right to it, or it has ended; macOS.
        with suppress(OSError, AttributeError):
            before = os.sched_getscheduler(thread), os.sched_getparam(thread)
            lowest = os.sched_get_priority_min(os.SCHED_FIFO)
            os.sched_setscheduler(
                thread,
                os.SCHED_FIFO | os.SCHED_RESET_ON_FORK,
                os.sched_param(lowest + above_lowest),
            )
            stack.callback(_schedule, thread, *before)
        yield


def _schedule(thread: int, policy: int, parameters: Any) -> None:
    with suppress(OSError):  # it has ended
        os.sched_setscheduler(thread, policy, parameters)


def _threads(process: psutil.Process) -> list[int]:
    """Return what has cores of its own; the first one is the process."""
    with suppress(psutil.Error):  # it has ended, or is somebody else's
        return [thread.id for thread in process.threads()]
    return []


def _cores(thread: int) -> set[int]:
    with suppress(OSError, AttributeError):  # it has ended; macOS
        return os.sched_getaffinity(thread)
    return set()


def _keep(cores: Collection[int], thread: int) -> None:
    with suppress(OSError):  # it has ended, or is somebody else's
        if cores:
            os.sched_setaffinity(thread, cores)
