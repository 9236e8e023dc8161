"""The role map's file under watch, as editors and Kubernetes change it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.constants import ACTIONS_FILE_POLL_SECONDS
from app.managers.rbac_manager import Catalogue, RBACManager
from app.schemas.permissions import load_file
from app.schemas.user import UserModel
from app.tasks import permissions_watch
from app.tasks.permissions_watch import PermissionsWatch, watch_permissions
from app.types import UserId, Username

CATALOGUE = Catalogue(ws={1: "GET_AUTHORS", 12: "ME"}, http={})
IN_FORCE_SECONDS = 1.0
USER = UserModel(
    id=UserId("1"),
    username=Username("u"),
    roles=frozenset({"reader"}),
    expires_at=0,
)


def text(*permissions: str) -> str:
    rules = dict.fromkeys(permissions, "reader")
    return json.dumps({"roles": ["reader"], "ws": rules, "http": {}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "actions.json"
    path.write_text(text("GET_AUTHORS"))
    return path


@pytest.fixture
def rbac(path: Path) -> RBACManager:
    rbac = RBACManager(CATALOGUE)
    rbac.apply(load_file(path), source="start")
    return rbac


@asynccontextmanager
async def watching(path: Path, rbac: RBACManager) -> AsyncIterator[None]:
    task = asyncio.create_task(
        watch_permissions(path, rbac, ACTIONS_FILE_POLL_SECONDS)
    )
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(IN_FORCE_SECONDS):
        while not condition():  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)


def permitted(rbac: RBACManager) -> list[str]:
    return rbac.permissions_of(USER).ws


def write(path: Path, content: str) -> None:
    path.write_text(content)


def replace(path: Path, content: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(content)
    other.replace(path)


def delete(path: Path) -> None:
    path.unlink()


def delete_and_write(path: Path, content: str) -> None:
    delete(path)
    write(path, content)


def mount(folder: Path, name: str, content: str) -> None:
    """Put a new version in place as the kubelet does."""
    (folder / name).mkdir()
    (folder / name / "actions.json").write_text(content)
    (folder / "..tmp").symlink_to(name)
    (folder / "..tmp").rename(folder / "..data")


@pytest.mark.parametrize("change", [write, replace, delete_and_write])
async def test_an_edit_is_in_force_within_a_second(
    change: Callable[[Path, str], None], path: Path, rbac: RBACManager
) -> None:
    """However a file is changed, its new map decides within a second."""
    async with watching(path, rbac):
        change(path, text("ME"))
        await soon(lambda: permitted(rbac) == ["ws ME"])
        change(path, text("GET_AUTHORS", "ME"))
        await soon(lambda: permitted(rbac) == ["ws GET_AUTHORS", "ws ME"])


async def test_a_swapped_link_is_in_force_within_a_second(
    tmp_path: Path,
) -> None:
    """A ConfigMap's volume is followed through its links."""
    path = tmp_path / "actions.json"
    path.symlink_to("..data/actions.json")
    mount(tmp_path, "v1", text("ME"))
    rbac = RBACManager(CATALOGUE)
    async with watching(path, rbac):
        await soon(lambda: permitted(rbac) == ["ws ME"])
        mount(tmp_path, "v2", text("GET_AUTHORS"))
        await soon(lambda: permitted(rbac) == ["ws GET_AUTHORS"])


async def test_a_bad_edit_keeps_the_last_good_map(
    path: Path, rbac: RBACManager
) -> None:
    """A bad edit changes nothing, and one error says where it is wrong."""
    with capture_logs() as logs:
        async with watching(path, rbac):
            write(path, '{"roles": [],\n "ws": }')
            await soon(lambda: bool(errors(logs)))
            assert permitted(rbac) == ["ws GET_AUTHORS"]
            write(path, text("ME"))
            await soon(lambda: permitted(rbac) == ["ws ME"])
    assert [f"{path}:2:8: Expecting value"] == errors(logs)


async def test_a_deleted_file_keeps_the_last_good_map(
    path: Path, rbac: RBACManager
) -> None:
    """A file that is gone changes nothing; one that returns is read."""
    with capture_logs() as logs:
        async with watching(path, rbac):
            delete(path)
            await soon(lambda: bool(errors(logs)))
            assert permitted(rbac) == ["ws GET_AUTHORS"]
            write(path, text("ME"))
            await soon(lambda: permitted(rbac) == ["ws ME"])
    assert [f"{path}: No such file or directory"] == errors(logs)


async def test_an_applied_map_is_logged(path: Path, rbac: RBACManager) -> None:
    """The log names source, digest, revision and what has changed."""
    with capture_logs() as logs:
        watch = PermissionsWatch(path, rbac)
        await watch.look()
        write(path, text("ME"))
        await watch.look()
    expected: list[dict[str, Any]] = [
        {
            "event": "role map applied",
            "log_level": "info",
            "source": str(path),
            "revision": 2,
            "digest": load_file(path).digest,
            "changes": "+1 \N{MINUS SIGN}1 permissions in 1 role",
        }
    ]
    assert expected == logs


async def test_a_half_written_file_is_not_complained_of(
    path: Path, rbac: RBACManager
) -> None:
    """What is whole by the next look is applied as if it always had been."""
    whole = text("ME")
    with capture_logs() as logs:
        watch = PermissionsWatch(path, rbac)
        for content in ("", whole[: len(whole) // 2], whole):
            write(path, content)
            await watch.look()
    assert errors(logs) == []
    assert permitted(rbac) == ["ws ME"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", ":1:1: Expecting value"),
        (text("me"), ": ws > me: 'me' is no PkgID name (GET_AUTHORS),"),
        (text("ME").replace('["reader"]', "[]"), ": ws ME: role 'reader'"),
        (None, ": is no file"),
    ],
)
async def test_each_fault_is_told_once(
    content: str | None, why: str, path: Path, rbac: RBACManager
) -> None:
    """A fault that stays is one log line, one that comes back another."""
    good = text("GET_AUTHORS")

    def spoil() -> None:
        path.unlink()
        if content is None:
            path.mkdir()
        else:
            write(path, content)

    def restore() -> None:
        if path.is_dir():
            path.rmdir()
        write(path, good)

    counts = []
    with capture_logs() as logs:
        watch = PermissionsWatch(path, rbac)
        for change in (spoil, restore, spoil):
            change()
            for _ in range(4):
                await watch.look()
            counts.append(len(errors(logs)))
    assert counts == [1, 1, 2]
    assert errors(logs)[0].startswith(f"{path}{why}")
    assert permitted(rbac) == ["ws GET_AUTHORS"]


@pytest.mark.parametrize(
    ("age_seconds", "expected"), [(0, ["ws ME"]), (60, ["ws GET_AUTHORS"])]
)
async def test_only_an_old_stamp_saves_reading(
    age_seconds: int,
    expected: list[str],
    path: Path,
    rbac: RBACManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second write with the stamp of a fresh one is not missed."""
    changed = time.time_ns() - age_seconds * 10**9
    stamp = (1, 1, changed, changed, 1)
    monkeypatch.setattr(permissions_watch, "_stamp", lambda _: stamp)
    watch = PermissionsWatch(path, rbac)
    await watch.look()
    write(path, text("ME"))
    await watch.look()
    assert expected == permitted(rbac)


async def test_an_unchanged_map_is_not_applied_again(
    path: Path, rbac: RBACManager
) -> None:
    """A change of spelling alone makes no new revision."""
    before = rbac.snapshot
    watch = PermissionsWatch(path, rbac)
    await watch.look()
    write(path, text("GET_AUTHORS").replace("{", "{\n"))
    await watch.look()
    assert before is rbac.snapshot


def errors(logs: list[Any]) -> list[str]:
    return [log["error"] for log in logs if log["log_level"] == "error"]
