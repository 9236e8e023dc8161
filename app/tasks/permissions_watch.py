"""The role map's file, read again whenever it changes.

The file is looked at by its path four times a second, because what replaces
it differs: an editor writes it in place or renames another file over it, and
Kubernetes swaps a symbolic link two directories up. Notifications of the file
system would miss some of these on some file systems; a look costs
microseconds and runs in a thread, where a slow disk holds nobody up.

What was last seen is known by its SHA-256. A stamp (inode, times, size) only
saves reading the file again, and only once it is old enough: two writes
within one tick of the file system's clock can leave the same stamp.

A fault is believed when the next look finds it again. So a file that is half
written, or gone while it is being replaced, is neither applied nor
complained of; one that stays wrong is complained of once.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from app.managers.rbac_manager import RBACManager
from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    diff,
    parse_document,
    read_file,
)

STAMP_TRUSTED_AFTER_NS: Final = 2_000_000_000
"""Age of a change at which no later one can have the same stamp."""

_Stamp: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one look found: `key` tells one content or fault from another."""

    key: str
    found: PermissionMap | PermissionMapError


async def watch_permissions(
    path: Path, rbac: RBACManager, interval: float
) -> None:
    """Keep the map of a file in force for as long as this runs.

    A good map is applied leniently; a bad or missing one is logged and the
    last good one stays.

    Args:
        path: The file, as JSON; links are followed on every look.
        rbac: Where the map is applied.
        interval: Seconds between two looks.
    """
    watch = PermissionsWatch(path, rbac)
    while True:
        await watch.look()
        await asyncio.sleep(interval)


class PermissionsWatch:
    """A file under watch: what is remembered from one look to the next."""

    def __init__(self, path: Path, rbac: RBACManager) -> None:
        self._path = path
        self._rbac = rbac
        self._stamp: _Stamp | None = None
        self._settled: str | None = None
        self._doubted: str | None = None
        self._log = structlog.get_logger(__name__).bind(source=str(path))

    async def look(self) -> None:
        """Look at the file once, and apply or report what is new."""
        sight = await asyncio.to_thread(self._see)
        if sight is None or sight.key == self._settled:
            self._doubted = None
            return
        found = sight.found
        fault = found if isinstance(found, Exception) else self._apply(found)
        if fault is None or sight.key == self._doubted:
            self._settle(sight.key, fault)
        else:
            self._doubted = sight.key
            self._stamp = None

    def _see(self) -> _Sight | None:
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return None
            data = read_file(self._path)
        except OSError as error:
            self._stamp = None
            message = f"{self._path}: {error.strerror or error}"
            return _Sight(message, PermissionMapError([message]))
        except PermissionMapError as error:
            self._stamp = None
            return _Sight(str(error), error)
        self._stamp = stamp if _is_old(stamp) else None
        return self._read(data)

    def _read(self, data: bytes) -> _Sight | None:
        key = hashlib.sha256(data).hexdigest()
        if key == self._settled:
            return None
        try:
            return _Sight(key, parse_document(data, str(self._path)))
        except PermissionMapError as error:
            return _Sight(key, error)

    def _apply(self, new: PermissionMap) -> PermissionMapError | None:
        old = self._rbac.snapshot
        if old is not None and old.digest == new.digest:
            return None
        try:
            snapshot = self._rbac.apply(new, source=str(self._path))
        except PermissionMapError as error:
            return error.within(str(self._path))
        self._log.info(
            "role map applied",
            revision=snapshot.revision,
            digest=snapshot.digest,
            changes=str(diff(old.permission_map if old else None, new)),
        )
        return None

    def _settle(self, key: str, fault: PermissionMapError | None) -> None:
        self._settled = key
        self._doubted = None
        if fault is not None:
            self._log.error(
                "role map refused, the last good one stays",
                error="; ".join(fault.findings),
            )


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return (
        found.st_dev,
        found.st_ino,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_size,
    )


def _is_old(stamp: _Stamp) -> bool:
    changed = max(stamp[2], stamp[3])
    return time.time_ns() - changed > STAMP_TRUSTED_AFTER_NS
