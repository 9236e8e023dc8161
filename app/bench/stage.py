"""Everything a bench needs: servers, rows, a role map and tokens."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.bench.package import BenchID
from app.bench.proxy import CountingProxy
from app.bench.target import MakeApp, Target, started
from app.constants import MAX_PAGE_SIZE
from app.managers.keycloak_manager import KeycloakManager
from app.models import Author
from app.schemas.permissions import load_file
from app.settings import Settings
from app.storage.migrate import scratch_database, upgrade
from app.types import Token

USER: Final = "reader"
"""Of the demo realm; his password is his name."""
AUTHORS: Final = 2 * MAX_PAGE_SIZE


@dataclass(frozen=True)
class Stage:
    """The servers that a bench uses.

    `environment` is that of every server under load, which finds Keycloak
    behind `keycloak`; `ports` are those of the servers behind them.
    """

    environment: Mapping[str, str]
    folder: Path
    ports: frozenset[int]
    keycloak: CountingProxy
    _identity: KeycloakManager

    async def token(self) -> Token:
        """Sign the user in."""
        tokens = await self._identity.login(USER, USER)
        return Token(tokens.access_token)

    @asynccontextmanager
    async def target(self, make_app: MakeApp) -> AsyncIterator[Target]:
        """Run a server under load until the block is left."""
        log = self.folder / f"{make_app.__name__}.log"
        async with started(make_app, self.environment, log) as target:
            yield target


@asynccontextmanager
async def staged(environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Prepare a database and a role map, and remove them afterwards.

    Args:
        environment: Names the three servers, as for the service.
    """
    given = {name.lower(): value for name, value in environment.items()}
    settings = Settings.model_validate(given)
    keycloak = CountingProxy(str(settings.keycloak_base_url))
    identity = KeycloakManager(settings)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.push_async_callback(identity.close)
        await stack.enter_async_context(keycloak.running())
        engine = await stack.enter_async_context(scratch_database(settings))
        await upgrade(engine)
        await _store_authors(engine)
        url = engine.url.set(drivername="postgresql")
        yield Stage(
            environment={
                **environment,
                "DATABASE_URL": url.render_as_string(hide_password=False),
                "KEYCLOAK_BASE_URL": keycloak.url,
                "KEYCLOAK_ISSUER": settings.issuer,
                "ACTIONS_FILE_PATH": str(_role_map(settings, folder)),
                "RATE_LIMIT_ENABLED": "false",
            },
            folder=folder,
            ports=_ports(settings),
            keycloak=keycloak,
            _identity=identity,
        )


async def _store_authors(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        rows = [{"name": f"Author {n:05}"} for n in range(AUTHORS)]
        await connection.execute(insert(Author), rows)


def _role_map(settings: Settings, folder: Path) -> Path:
    """Write the role map, with rules for the bench's own messages."""
    role_map = load_file(settings.actions_file_path).model_dump(mode="json")
    role_map["ws"] |= {bench_id.name: "reader" for bench_id in BenchID}
    path = folder / "actions.json"
    path.write_text(json.dumps(role_map), encoding="utf-8")
    return path


def _ports(settings: Settings) -> frozenset[int]:
    redis = settings.redis_url and settings.redis_url.get_secret_value()
    ports = (
        settings.sqlalchemy_url.port,
        urlsplit(redis).port if redis else settings.redis_port,
        settings.keycloak_base_url.port,
    )
    return frozenset(port for port in ports if port is not None)
