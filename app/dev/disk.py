"""Room on the disk, asked for before a start and not found missing in it."""

import shutil
from pathlib import Path

from app.dev.errors import StartFailed

_MIB = 1024 * 1024


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
