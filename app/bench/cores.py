"""A core of its own for the server that is measured.

The generator of the load, PostgreSQL and Redis are elsewhere in production.
Here they share the server's cores, and the kernel likes to put who is woken
up on the core of who wakes him up: the server then waits for a statement of
1 ms, or for the generator, while another core is idle.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

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
            Everybody gets back the cores that he had.
    """
    generator = psutil.Process()
    cores = _cores(generator)
    if not cores[1:]:
        yield
        return
    before = {server: cores, generator: cores}
    before |= {p: _cores(p) for helper in helpers for p in family(helper)}
    for process in before:
        _keep(cores[-1:] if process is server else cores[:-1], process)
    try:
        yield
    finally:
        for process, had in before.items():
            for member in family(process):  # some are new
                _keep(before.get(member, had), member)


def _cores(process: psutil.Process) -> list[int]:
    with suppress(psutil.Error, AttributeError):  # it has ended; macOS
        return sorted(process.cpu_affinity() or ())
    return []


def _keep(cores: list[int], process: psutil.Process) -> None:
    with suppress(psutil.Error):  # it has ended, or is somebody else's
        if cores:
            process.cpu_affinity(cores)
