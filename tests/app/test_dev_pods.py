"""`make serve PODS=3`: production processes on one machine."""

import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from app.dev.config import LOOPBACK, DevConfig
from app.dev.errors import StartFailed
from app.dev.ports import free_port, is_free
from tests.fixtures.dev import NO_SERVER, is_running, started_dev
from tests.fixtures.servers import Servers

PODS = 3


@pytest.fixture
def ports() -> list[int]:
    """Three free ports in a row; the one before them is `PORT`."""
    while True:
        first = free_port()
        found = [first + number for number in range(PODS)]
        if all(map(is_free, found)):
            return found


@pytest.fixture
async def environment(
    servers: Servers, tmp_path: Path, ports: list[int]
) -> AsyncIterator[dict[str, str]]:
    """Servers that are there, and an empty database on them."""
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("DROP DATABASE IF EXISTS pods (FORCE)")
    await connection.execute("CREATE DATABASE pods")
    yield {
        **servers.environment,
        "DATABASE_URL": servers.database_url.rpartition("/")[0] + "/pods",
        "DEV_DATA_DIR": str(tmp_path),
        "MANAGEMENT_PORT": str(free_port()),
        "PODS": str(PODS),
        "PORT": str(ports[0] - 1),
    }
    await connection.execute("DROP DATABASE pods (FORCE)")
    await connection.close()


def processes(folder: Path, ports: list[int]) -> list[int]:
    """The process ids of the pods, each master before its workers."""
    pids = []
    for port in ports:
        file = folder / f"service-{port}.json"
        master = psutil.Process(json.loads(file.read_text())["pid"])
        pids += [master.pid, *(c.pid for c in master.children())]
    return pids


async def test_three_pods(
    environment: dict[str, str], ports: list[int], tmp_path: Path
) -> None:
    """Each is told of and serves, probes too; Ctrl-C drains them all."""
    async with started_dev(environment=environment) as dev:
        await dev.printed("Ctrl-C stops everything")
        async with httpx.AsyncClient() as client:
            for port in ports:
                url = f"http://{LOOPBACK}:{port}"
                assert url in dev.output
                answer = await client.get(f"{url}/readyz")
                assert 200 == answer.status_code
        pids = processes(tmp_path, ports)
        assert 2 * PODS == len(pids)
        assert await dev.ended(signal.SIGINT) == 0
    assert PODS == dev.output.count("draining")
    assert [] == [pid for pid in pids if is_running(pid)]


async def test_one_that_dies_ends_the_whole(
    environment: dict[str, str], ports: list[int], tmp_path: Path
) -> None:
    """The others drain, and the status is that of the one."""
    async with started_dev(environment=environment | {"PODS": "2"}) as dev:
        await dev.printed("Ctrl-C stops everything")
        pids = processes(tmp_path, ports[:2])
        os.kill(pids[0], signal.SIGKILL)
        assert signal.SIGKILL == await dev.ended()
    assert f"The service on port {ports[0]} has ended." in dev.output
    assert "draining" in dev.output
    assert [] == [pid for pid in pids if is_running(pid)]


@pytest.fixture
def taken(ports: list[int]) -> Iterator[int]:
    """A port of the last pod, which something else listens on."""
    with socket.create_server((LOOPBACK, ports[-1])):
        yield ports[-1]


async def test_a_taken_port_is_refused(
    taken: int, ports: list[int], tmp_path: Path
) -> None:
    """Nothing has started when a pod cannot have its port."""
    environment = {
        **NO_SERVER,
        "DEV_DATA_DIR": str(tmp_path),
        "PODS": str(PODS),
        "PORT": str(ports[0] - 1),
    }
    async with started_dev(environment=environment) as dev:
        assert 1 == await dev.ended()
    expected = (
        f"Port {taken} of the service is taken; stop what listens "
        "there or set PORT to another port\n"
    )
    assert expected == dev.output


@pytest.mark.parametrize("value", ["x", "-1", "100"])
def test_pods_is_a_small_number(value: str) -> None:
    """Anything else is refused by name."""
    with pytest.raises(StartFailed, match=f"PODS: '{value}' is not 0 to 9"):
        DevConfig.from_environment({"PODS": value})


def test_pods_are_on_8001_to_8003() -> None:
    """They follow the port of the service that reloads."""
    config = DevConfig.from_environment({"PODS": "3"})
    assert [8001, 8002, 8003] == config.service_ports
