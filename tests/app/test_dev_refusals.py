"""What `python -m app dev` refuses, in one line and before any start."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev.config import LOOPBACK, DevConfig
from app.dev.disk import require_folder
from app.dev.errors import StartFailed
from app.dev.progress import Lines
from app.dev.servers import DevServers
from tests.fixtures.dev import NO_SERVER, started_dev


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


async def ended(environment: dict[str, str]) -> tuple[int, str]:
    """Run the command to its end, and return its status and what it said."""
    async with started_dev(environment=environment) as dev:
        status = await dev.ended()
    return status, dev.output


async def test_a_taken_port_ends_the_command_with_one_line(
    taken_port: int, tmp_path: Path
) -> None:
    """The line names the port and its variable; there is no traceback."""
    environment = {
        **NO_SERVER,
        "PORT": str(taken_port),
        "DEV_DATA_DIR": str(tmp_path),
    }
    expected = (
        f"Port {taken_port} of the service is taken; stop what listens "
        "there or set PORT to another port\n"
    )
    assert (1, expected) == await ended(environment)


@pytest.mark.parametrize(
    ("variable", "url", "name"),
    [
        ("DEV_DB_PORT", "DATABASE_URL", "PostgreSQL"),
        ("DEV_REDIS_PORT", "REDIS_URL", "Valkey"),
        ("DEV_KEYCLOAK_PORT", "KEYCLOAK_BASE_URL", "Keycloak"),
    ],
)
async def test_a_taken_port_is_refused_before_anything_starts(
    variable: str, url: str, name: str, taken_port: int, tmp_path: Path
) -> None:
    """The message names the port and its variable; nothing was prepared."""
    config = DevConfig.from_environment(
        {variable: str(taken_port), "DEV_DATA_DIR": str(tmp_path)}
    )
    configured = {n: v for n, v in NO_SERVER.items() if n != url}
    servers = DevServers(config, configured, Lines(lambda _: None))

    expected = f"Port {taken_port} of {name} is taken; .* set {variable} to"
    with pytest.raises(StartFailed, match=expected):
        async with servers.running():
            pass

    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a..b"])
async def test_a_host_that_is_not_here_is_not_called_taken(
    host: str, tmp_path: Path
) -> None:
    """The line names HOST and its value."""
    environment = {**NO_SERVER, "HOST": host, "DEV_DATA_DIR": str(tmp_path)}
    expected = f"HOST: {host!r} is no address of this machine\n"
    assert (1, expected) == await ended(environment)


def test_a_folder_that_cannot_be_written_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on a disk that is read only; who is root may write all others."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    expected = (
        f"{tmp_path}: It cannot be written; set DEV_DATA_DIR to a folder that "
        "can be written"
    )
    with pytest.raises(StartFailed, match=re.escape(expected)):
        require_folder(tmp_path, "DEV_DATA_DIR")


async def test_a_folder_that_cannot_be_made_is_named_by_its_variable(
    tmp_path: Path,
) -> None:
    """It lies in a file, for instance."""
    file = tmp_path / "file"
    file.touch()
    folder = file / "data"
    environment = {**NO_SERVER, "DEV_DATA_DIR": str(folder)}
    expected = (
        f"{folder}: Not a directory; set DEV_DATA_DIR to a folder that can "
        "be written\n"
    )
    assert (1, expected) == await ended(environment)


def test_a_port_that_is_no_port_is_refused() -> None:
    """The message names the variable and shows its value."""
    with pytest.raises(StartFailed, match="DEV_DB_PORT: '65536' is not a"):
        DevConfig.from_environment({"DEV_DB_PORT": "65536"})
