"""The service under gunicorn: how it starts, and how it fails to."""

import socket
from pathlib import Path

import pytest

from tests.fixtures.processes import GUNICORN, SERVE, started
from tests.fixtures.servers import Servers


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "cli"])
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"KEYCLOAK_REALM": ""}, "KEYCLOAK_REALM: is missing"),
        (
            {"PORT": "9", "MANAGEMENT_PORT": "9"},
            "MANAGEMENT_PORT: 9 is the port of the clients, too",
        ),
        ({"PORT": "65536"}, "PORT: 65536 is not from 0 to 65535"),
        (
            {"SECRETS_DIR": "/nope"},
            "SECRETS_DIR: /nope cannot be read: No such file or directory",
        ),
    ],
    ids=["missing", "one port for both", "too high", "no folder"],
)
async def test_a_wrong_setting_is_one_line(
    command: tuple[str, ...],
    servers: Servers,
    changes: dict[str, str],
    line: str,
) -> None:
    """The line names the variable, and nothing is started again."""
    async with started(command, {**servers.environment, **changes}) as service:
        status = await service.ended()
    assert (1, [line]) == (status, service.lines)


async def test_a_wrong_role_map_is_a_line(
    servers: Servers, tmp_path: Path
) -> None:
    """The master ends before it has a worker."""
    file = tmp_path / "actions.json"
    file.write_text('{"roles": []}')
    environment = {**servers.environment, "ACTIONS_FILE_PATH": str(file)}
    async with started(GUNICORN, environment) as service:
        status = await service.ended()
    assert 1 == status
    assert service.lines[0].startswith(f"ACTIONS_FILE_PATH: {file}")
    assert [] == [line for line in service.lines if "orker" in line]


async def test_a_taken_port_is_a_line(servers: Servers) -> None:
    """The line names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**servers.environment, "MANAGEMENT_PORT": str(port)}
        async with started(SERVE, environment) as service:
            status = await service.ended()
    expected = (
        f"Port {port} of 127.0.0.1 cannot be had: Address already in use"
    )
    assert (1, [expected]) == (status, service.lines)


async def test_a_port_that_is_no_number_is_a_line(servers: Servers) -> None:
    """What gunicorn says would not name the variable."""
    environment = {**servers.environment, "PORT": "http"}
    async with started(GUNICORN, environment) as service:
        status = await service.ended()
    assert (1, ["PORT: 'http' is not a number"]) == (status, service.lines)


async def test_a_port_that_is_taken_meanwhile_is_a_line(
    migrated: Servers,
) -> None:
    """A process that cannot listen says so, and ends."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        environment = {
            **migrated.environment,
            "MANAGEMENT_PORT": str(other.getsockname()[1]),
        }
        async with started(SERVE, environment) as service:
            assert service.process.stdout is not None
            await service.process.stdout.readline()  # bound
            other.listen()
            status = await service.ended()
    assert 3 == status
    assert any("another process listens" in line for line in service.lines)
    assert not any("Traceback" in line for line in service.lines)
