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
    """
    generator = psutil.Process()
    cores = _cores(generator)
    others = [p for helper in helpers for p in family(helper)]
    if len(cores) > 1:
        _keep(cores[-1:], server)
        _keep(cores[:-1], generator, *others)
    try:
        yield
    finally:
        others += [p for other in others for p in family(other)]
        _keep(cores, server, generator, *others)


def _cores(process: psutil.Process) -> list[int]:
    if not hasattr(process, "cpu_affinity"):  # macOS
        return []
    return sorted(process.cpu_affinity() or ())


def _keep(cores: list[int], *processes: psutil.Process) -> None:
    for process in processes if cores else ():
        with suppress(psutil.Error):  # it has ended, or is somebody else's
            process.cpu_affinity(cores)
