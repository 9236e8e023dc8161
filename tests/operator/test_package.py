"""The operator shares the role map with the service and nothing else."""

import subprocess
import sys
from typing import Final

LISTED: Final = (
    "import sys, gatehouse_operator, app.schemas.permissions; "
    "print(*sorted(sys.modules))"
)


def test_the_role_map_brings_no_service() -> None:
    """Importing the operator and the role map imports no web framework."""
    ran = subprocess.run(
        [sys.executable, "-c", LISTED],
        capture_output=True,
        check=True,
        text=True,
    )
    loaded = set(ran.stdout.split())
    assert "app.schemas.permissions" in loaded
    assert loaded & {"fastapi", "starlette", "sqlalchemy", "redis"} == set()


def test_settings_that_are_wrong_are_named_and_not_shown() -> None:
    """The start stops with a line for each, and tells no secret."""
    ran = subprocess.run(
        (sys.executable, "-m", "gatehouse_operator.main_rbac"),
        env={
            "REDIS_URL": "redis://:geheim@host",
            "RBAC_SIGNING_KEY": "geheim",
            "DELETE_GRACE_SECONDS": "0",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert (1, "") == (ran.returncode, ran.stdout)
    assert [
        "DELETE_GRACE_SECONDS: Input should be greater than 0",
        "NAMESPACE: Field required",
    ] == sorted(ran.stderr.splitlines())
