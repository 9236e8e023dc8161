"""Everything a bench needs: servers, rows, a role map and tokens."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
from joserfc.jwk import KeySetSerialization
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.bench.crowd import Crowd
from app.bench.package import BenchID
from app.bench.proxy import KeycloakProxy, RedisProxy
from app.bench.target import MakeApp, Target, started
from app.constants import (
    MAX_PAGE_SIZE,
    RATE_LIMIT_BURST,
    RATE_LIMIT_MAX,
    RATE_LIMIT_PER_MINUTE,
    WS_MESSAGE_RATE_LIMIT,
)
from app.dev.config import LOOPBACK
from app.managers.keycloak_manager import KeycloakManager
from app.models import Author
from app.schemas.permissions import load_file
from app.settings import Settings
from app.storage.migrate import scratch_database, upgrade
from app.types import Token

_Redis = Mapping[str, str]
_HTTP_PORT: Final = 80
USER: Final = "reader"
"""Of the demo realm; his password is his name."""
AUTHORS: Final = 2 * MAX_PAGE_SIZE
UNREACHED: Final = {
    "RATE_LIMIT_PER_MINUTE": str(RATE_LIMIT_MAX),
    "RATE_LIMIT_BURST": str(RATE_LIMIT_MAX),
    "WS_MESSAGE_RATE_LIMIT": str(RATE_LIMIT_MAX),
}
"""Limits that are kept as ever, and that no load comes near."""
_AT_ONCE: Final = {"DRAIN_WAIT_SECONDS": "0", "DRAIN_SECONDS": "0"}
"""How a server ends, when nobody is there any more."""
KEPT: Final = {
    "RATE_LIMIT_PER_MINUTE": str(RATE_LIMIT_PER_MINUTE),
    "RATE_LIMIT_BURST": str(RATE_LIMIT_BURST),
    "WS_MESSAGE_RATE_LIMIT": str(WS_MESSAGE_RATE_LIMIT),
}
"""The limits of the contract."""


@dataclass(frozen=True)
class Stage:
    """The servers that a bench uses.

    `environment` is that of every server under load, which finds Keycloak
    behind `keycloak`; `ports` are those of the servers behind them,
    `databases` those of Postgres and Redis, and `targets` the servers under
    load that run now. Users are the `crowd`'s, but for
    the one whom Keycloak signs in.
    """

    environment: Mapping[str, str]
    folder: Path
    ports: frozenset[int]
    databases: frozenset[int]
    keycloak: KeycloakProxy
    crowd: Crowd
    _settings: Settings
    targets: list[Target] = field(default_factory=list)

    async def token(self) -> Token:
        """Sign the reader in."""
        return await _sign_in(self._settings)

    @asynccontextmanager
    async def redis_seen(self) -> AsyncIterator[tuple[RedisProxy, _Redis]]:
        """Run a way to Redis that counts, and tell the settings for it."""
        redis = self._settings.redis_url
        parts = urlsplit(redis.get_secret_value() if redis else "")
        proxy = RedisProxy(
            parts.hostname or self._settings.redis_ip or LOOPBACK,
            parts.port or self._settings.redis_port,
        )
        async with proxy.running():
            if redis is None:
                port = str(proxy.port)
                yield proxy, {"REDIS_IP": LOOPBACK, "REDIS_PORT": port}
            else:
                signed_in, at, _ = parts.netloc.rpartition("@")
                netloc = f"{signed_in}{at}{LOOPBACK}:{proxy.port}"
                url = urlunsplit(parts._replace(netloc=netloc))
                yield proxy, {"REDIS_URL": url}

    def swap_role_map(self) -> None:
        """Put another role map into the file of all servers under load."""
        path = Path(self.environment["ACTIONS_FILE_PATH"])
        role_map = json.loads(path.read_text(encoding="utf-8"))
        rules = role_map["ws"]
        name = BenchID.AUDIT.name
        rules[name] = "*" if rules[name] == USER else USER
        new = path.with_suffix(".new")
        new.write_text(json.dumps(role_map), encoding="utf-8")
        new.replace(path)

    @asynccontextmanager
    async def target(
        self, make_app: MakeApp, **settings: str
    ) -> AsyncIterator[Target]:
        """Run a server under load until the block is left.

        Args:
            make_app: Makes the application.
            settings: In the place of the environment's.
        """
        log = self.folder / f"{make_app.__name__}-{uuid4().hex}.log"
        environment = {**self.environment, **settings}
        async with started(make_app, environment, log) as target:
            self.targets.append(target)
            try:
                yield target
            finally:
                self.targets.remove(target)


@asynccontextmanager
async def staged(environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Prepare a database and a role map, and remove them afterwards.

    Args:
        environment: Names the three servers, as for the service.
    """
    given = {name.lower(): value for name, value in environment.items()}
    settings = Settings.model_validate(given)
    keys = await _published_keys(settings)
    crowd = Crowd(await _sign_in(settings), keys)
    keycloak = KeycloakProxy(
        settings.keycloak_base_url.host or LOOPBACK,
        settings.keycloak_base_url.port or _HTTP_PORT,
        crowd.published,
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        await stack.enter_async_context(keycloak.running())
        engine = await stack.enter_async_context(scratch_database(settings))
        await upgrade(engine)
        await _store_authors(engine)
        url = engine.url.set(drivername="postgresql")
        yield Stage(
            environment={
                **environment,
                **UNREACHED,
                **_AT_ONCE,
                "DATABASE_URL": url.render_as_string(hide_password=False),
                "KEYCLOAK_BASE_URL": keycloak.url,
                "KEYCLOAK_ISSUER": settings.issuer,
                "ACTIONS_FILE_PATH": str(_role_map(settings, folder)),
            },
            folder=folder,
            ports=_ports(settings),
            databases=_databases(settings),
            keycloak=keycloak,
            crowd=crowd,
            _settings=settings,
        )


async def _sign_in(settings: Settings) -> Token:
    identity = KeycloakManager(settings)
    try:
        tokens = await identity.login(USER, USER)
    finally:
        await identity.close()
    return Token(tokens.access_token)


async def _published_keys(settings: Settings) -> KeySetSerialization:
    url = f"{settings.realm_url}/protocol/openid-connect/certs"
    async with httpx.AsyncClient(verify=settings.keycloak_tls) as client:
        keys: KeySetSerialization = (await client.get(url)).json()
    return keys


async def _store_authors(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        rows = [{"name": f"Author {n:05}"} for n in range(AUTHORS)]
        await connection.execute(insert(Author), rows)


def _role_map(settings: Settings, folder: Path) -> Path:
    """Write the role map, with rules for the bench's own messages."""
    role_map = load_file(settings.actions_file_path).model_dump(mode="json")
    role_map["ws"] |= {bench_id.name: USER for bench_id in BenchID}
    path = folder / "actions.json"
    path.write_text(json.dumps(role_map), encoding="utf-8")
    return path


def _ports(settings: Settings) -> frozenset[int]:
    port = settings.keycloak_base_url.port
    return _databases(settings) | ({port} if port else set())


def _databases(settings: Settings) -> frozenset[int]:
    redis = settings.redis_url and settings.redis_url.get_secret_value()
    ports = (
        settings.sqlalchemy_url.port,
        urlsplit(redis).port if redis else settings.redis_port,
    )
    return frozenset(port for port in ports if port is not None)
