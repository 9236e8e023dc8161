"""The service under gunicorn: how it starts, and how it fails to."""

import socket
from pathlib import Path

import pytest

from tests.fixtures.processes import GUNICORN, SERVE, started
from tests.fixtures.servers import Servers


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "cli"])
async def test_a_missing_setting_is_one_line(
    command: tuple[str, ...], servers: Servers
) -> None:
    """The line names the variable, and nothing is started again."""
    environment = {**servers.environment, "KEYCLOAK_REALM": ""}
    async with started(command, environment) as service:
        status = await service.ended()
    assert (1, ["KEYCLOAK_REALM: is missing"]) == (status, service.lines)


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
