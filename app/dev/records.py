"""Records of running processes, so that later starts find them.

A start leaves a small file beside its data: the process id, when that
process began, and its port. Whoever comes later (a second start at the same
time, or the next one after a SIGKILL) finds the process by it. An id that
meanwhile belongs to another process is told by the time and by the command
line, so nothing but our own process is ever reused or stopped.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_CLOCK_SECONDS = 1.0


@dataclass(frozen=True)
class Record:
    """A process that some start has left running.

    `created` is when the process began, in seconds since the epoch.
    """

    pid: int
    created: float
    port: int


def leave_record(path: Path, process: psutil.Process, port: int) -> None:
    """Write down a process that was just started."""
    record = Record(process.pid, process.create_time(), port)
    path.write_text(json.dumps(asdict(record)), encoding="utf-8")


def read_record(path: Path, mark: str) -> Record | None:
    """Return the process that was written down, if it still runs.

    Args:
        path: The file that `leave_record` wrote.
        mark: What its command line contains.
    """
    try:
        record = Record(**json.loads(path.read_bytes()))
        process = psutil.Process(record.pid)
        command = " ".join(process.cmdline())
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    same = abs(process.create_time() - record.created) < _CLOCK_SECONDS
    return record if same and mark in command else None
