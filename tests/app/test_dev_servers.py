"""Embedded servers are found again, shared, and stopped by the last user."""

import asyncio
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from app.dev.config import ROOT, DevConfig
from app.dev.errors import StartFailed
from app.dev.ports import free_port
from app.dev.progress import Lines
from app.dev.records import leave_record, read_record
from app.dev.servers import DevServers
from app.dev.valkey import Valkey
from tests.fixtures.dev import NO_SERVER, is_running

ONLY_VALKEY = {n: v for n, v in NO_SERVER.items() if n != "REDIS_URL"}

ANOTHER_START = f"""
import asyncio, pathlib, sys
from app.dev.config import ROOT, DevConfig
from app.dev.progress import Lines
from app.dev.servers import DevServers

async def main():
    config = DevConfig(pathlib.Path(sys.argv[1]))
    servers = DevServers(config, {ONLY_VALKEY}, Lines(lambda _: None))
    async with servers.running():
        print(servers.valkey.process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def _servers(folder: Path, port: int = 0) -> DevServers:
    config = DevConfig(data_dir=folder, redis_port=port)
    return DevServers(config, ONLY_VALKEY, Lines(lambda _: None))


def _valkey(servers: DevServers) -> Valkey:
    assert servers.valkey is not None
    return servers.valkey


def _pid(servers: DevServers) -> int:
    process = _valkey(servers).process
    assert process is not None
    return process.pid


async def test_a_second_start_uses_the_running_server(
    tmp_path: Path,
) -> None:
    """Both have the same process, which ends with the last of them."""
    first, second = _servers(tmp_path), _servers(tmp_path)

    async with first.running():
        pid = _pid(first)
        async with second.running():
            assert (pid, first.settings) == (_pid(second), second.settings)
        assert psutil.pid_exists(pid)

    assert not psutil.pid_exists(pid)


async def test_the_first_start_leaves_the_server_to_the_second(
    tmp_path: Path,
) -> None:
    """Who ends first stops nothing that another start still uses."""
    first, second = _servers(tmp_path), _servers(tmp_path)
    running = first.running()
    await running.__aenter__()

    async with second.running():
        await running.__aexit__(None, None, None)
        assert await _valkey(second).is_ready()

    process = _valkey(first).process
    assert process is not None
    assert process.wait(timeout=5) == 0


async def test_a_server_in_use_is_not_moved_to_another_port(
    tmp_path: Path,
) -> None:
    """One line names the port to set for joining it."""
    async with _servers(tmp_path).running():
        record = json.loads((tmp_path / "valkey.json").read_text())
        expected = f"in use on port {record['port']}; set DEV_REDIS_PORT="

        with pytest.raises(StartFailed, match=expected):
            async with _servers(tmp_path, free_port()).running():
                pass


async def test_a_server_of_a_killed_start_is_used_again(
    tmp_path: Path,
) -> None:
    """The next start finds it by its record, uses it and stops it."""
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANOTHER_START, str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert killed.stdout is not None
    pid = int(await killed.stdout.readline())
    killed.kill()
    await killed.wait()

    servers = _servers(tmp_path)
    async with servers.running():
        assert _pid(servers) == pid
        assert await _valkey(servers).is_ready()

    assert not is_running(pid)


async def test_data_and_password_outlive_a_stop(tmp_path: Path) -> None:
    """A server that was away answers with the same port and password."""
    servers = _servers(tmp_path)
    async with servers.running():
        before = servers.settings

        async with _valkey(servers).away():
            assert not await _valkey(servers).is_ready()

        assert await _valkey(servers).is_ready()
        assert before == servers.settings


async def test_a_server_that_dies_at_its_start_shows_its_last_line(
    tmp_path: Path,
) -> None:
    """The message has the last line of the log and where the log is."""
    manifest = tmp_path / "valkey/appendonlydir/appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("no manifest\n")

    with pytest.raises(StartFailed, match=r"Valkey died .*logs/valkey\.log"):
        async with _servers(tmp_path).running():
            pass


async def test_a_full_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says how much is missing and which variable helps."""
    monkeypatch.setattr("app.dev.servers.DEV_MIN_FREE_BYTES", 2**60)

    with pytest.raises(StartFailed, match="or set DEV_DATA_DIR"):
        async with _servers(tmp_path).running():
            pass


def test_a_reused_process_id_is_not_ours(tmp_path: Path) -> None:
    """Only the start time and the command line together make it ours."""
    path = tmp_path / "record.json"
    leave_record(path, psutil.Process(), port=1)
    mark = psutil.Process().cmdline()[-1]

    own = read_record(path, mark)
    assert own is not None
    assert os.getpid() == own.pid
    assert read_record(path, "valkey.conf") is None

    path.write_text(json.dumps({"pid": own.pid, "created": 0, "port": 1}))
    assert read_record(path, mark) is None


def test_passwords_are_made_once_and_private(tmp_path: Path) -> None:
    """A later start reads the same password from a file of mode 600."""
    first = _valkey(_servers(tmp_path)).password

    path = tmp_path / "secrets" / "redis_password"
    assert (0o600, first) == (path.stat().st_mode & 0o777, path.read_text())
    assert first == _valkey(_servers(tmp_path)).password
