"""A folder and its disk, looked at before a start and not amid it."""

import os
import shutil
from pathlib import Path

from app.dev.errors import StartFailed

_MIB = 1024 * 1024


def require_folder(folder: Path, variable: str) -> None:
    """Make a folder, unless it is there and can be written.

    Raises:
        StartFailed: It cannot be used; the message names the variable.
    """
    reason = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "It cannot be written"
    if reason is not None:
        raise StartFailed(
            f"{folder}: {reason}; set {variable} to a folder that can be "
            "written"
        )


def require_space(folder: Path, needed: int, variable: str) -> None:
    """Refuse a disk that is too full.

    Raises:
        StartFailed: Fewer than `needed` bytes are free there.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StartFailed(
            f"{folder}: {needed // _MIB} MiB of disk are needed and "
            f"{free // _MIB} are free; make room or set {variable}"
        )
