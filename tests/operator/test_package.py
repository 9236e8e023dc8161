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
