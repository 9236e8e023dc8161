"""`python -m app dev` from its start to its last stop, as a process."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.dev.config import ROOT
from tests.fixtures.dev import NO_SERVER, is_running, started_dev
from tests.fixtures.servers import Servers

KEYCLOAK_ELSEWHERE = {"KEYCLOAK_BASE_URL": NO_SERVER["KEYCLOAK_BASE_URL"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of all starts here, so that only one has to make it."""
    return tmp_path_factory.mktemp("dev")


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Leaves PostgreSQL and Valkey to be embedded."""
    return {**KEYCLOAK_ELSEWHERE, "DEV_DATA_DIR": str(folder)}


def _records(folder: Path) -> list[Path]:
    return [folder / "postgresql.json", folder / "valkey.json"]


async def test_sigterm_stops_all_that_was_started(
    folder: Path, environment: dict[str, str]
) -> None:
    """No server is left; no password was printed, but where each is."""
    async with started_dev("--services-only", environment=environment) as dev:
        await dev.printed("export REDIS_PASSWORD=")
        records = [json.loads(path.read_text()) for path in _records(folder)]
        pids = [record["pid"] for record in records]
        assert [is_running(pid) for pid in pids] == [True, True]

        assert await dev.ended(signal.SIGTERM) == 128 + signal.SIGTERM

    assert [is_running(pid) for pid in pids] == [False, False]
    secret = folder / "secrets" / "redis_password"
    assert f'export REDIS_PASSWORD="$(cat {secret})"' in dev.output
    assert secret.read_text() not in dev.output


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGHUP, 129)]
)
async def test_a_signal_during_the_start_stops_it(
    number: signal.Signals,
    status: int,
    folder: Path,
    environment: dict[str, str],
) -> None:
    """What had started is stopped; Ctrl-C is no failure."""
    async with started_dev("--services-only", environment=environment) as dev:
        await dev.printed("Valkey: starting")
        assert await dev.ended(number) == status

    assert [path.exists() for path in _records(folder)] == [False, False]


@pytest.fixture
async def own_database(servers: Servers) -> AsyncIterator[str]:
    """An empty database beside that of the other tests."""
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("DROP DATABASE IF EXISTS own (FORCE)")
    await connection.execute("CREATE DATABASE own")
    yield servers.database_url.rpartition("/")[0] + "/own"
    await connection.execute("DROP DATABASE own (FORCE)")
    await connection.close()


async def test_the_printed_commands_work_when_pasted(
    servers: Servers, own_database: str, tmp_path: Path
) -> None:
    """A token, an HTTP call and a socket, as a person pastes them in bash."""
    environment = {
        **servers.environment,
        "DATABASE_URL": own_database,
        "DEV_DATA_DIR": str(tmp_path),
    }

    async with started_dev("--no-reload", environment=environment) as dev:
        await dev.printed("Ctrl-C stops everything")
        before, _, commands = dev.output.partition("TOKEN=")
        lines = [
            line
            for line in ("TOKEN=" + commands).splitlines()
            if not line.startswith(("Call ", "Open ", "Ctrl-C "))
        ]
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-c", "\n".join(lines)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await shell.communicate()

    assert "Gatehouse" in before
    assert [line for line in lines if len(line) > 79] == []
    assert b'{"data":[{"id":1,' in output
    assert b'"status_code":0' in output
