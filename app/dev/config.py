"""Where the servers keep their data and on which ports they listen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app import constants as c
from app.dev.errors import StartFailed

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
"""The clone: the folder that holds `app`."""


@dataclass(frozen=True)
class DevConfig:
    """What `make serve` lets a person choose; a port of 0 is any free one.

    Without `pods` there is one service, which reloads; with them there are
    so many production processes, on the ports after `port`.
    """

    data_dir: Path = ROOT / ".gatehouse"
    host: str = LOOPBACK
    port: int = 0
    db_port: int = 0
    redis_port: int = 0
    keycloak_port: int = 0
    pods: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "DevConfig":
        """Read the choices, or their defaults.

        Raises:
            StartFailed: A port is not a number from 1 to 65535, or `PODS`
                is not a number.
        """
        return cls(
            data_dir=Path(
                environment.get("DEV_DATA_DIR") or ROOT / ".gatehouse"
            ).absolute(),
            host=environment.get("HOST") or LOOPBACK,
            port=_port(environment, "PORT", c.DEV_PORT),
            db_port=_port(environment, "DEV_DB_PORT", c.DEV_DB_PORT),
            redis_port=_port(environment, "DEV_REDIS_PORT", c.DEV_REDIS_PORT),
            keycloak_port=_port(
                environment, "DEV_KEYCLOAK_PORT", c.DEV_KEYCLOAK_PORT
            ),
            pods=_pods(environment),
        )

    @property
    def service_ports(self) -> list[int]:
        """Where the service listens, or each of its pods."""
        if not self.pods:
            return [self.port]
        return [self.port + number for number in range(1, self.pods + 1)]


def _pods(environment: Mapping[str, str]) -> int:
    value = environment.get("PODS") or "0"
    if not value.isdecimal() or int(value) > c.DEV_MAX_PODS:
        raise StartFailed(f"PODS: {value!r} is not 0 to {c.DEV_MAX_PODS}")
    return int(value)


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or not 1 <= int(value) <= c.MAX_PORT:
        raise StartFailed(f"{name}: {value!r} is not a port")
    return int(value)
