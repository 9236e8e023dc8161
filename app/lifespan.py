"""What one process holds, made when it starts and closed when it ends.

Nothing here waits for another server: a process that starts while a server
is away answers its probes, is not ready, and becomes ready by itself. So a
dependency's outage never turns into a crash loop.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import structlog
from fastapi import FastAPI

from app.auth import AuthBackend
from app.constants import ACTIONS_FILE_POLL_SECONDS
from app.managers.keycloak_manager import KeycloakManager
from app.managers.rbac_manager import RBACManager
from app.routing import PackageRouter
from app.settings import Settings
from app.storage.db import Database
from app.storage.redis import RRedis
from app.tasks.permissions_watch import watch_permissions
from app.tasks.supervisor import Supervisor
from app.utils.health import Check, Health
from app.utils.jwks import JWKSCache

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Container:
    """Everything that lives as long as the process, one of each."""

    settings: Settings
    router: PackageRouter
    rbac: RBACManager
    database: Database
    redis: RRedis
    keys: JWKSCache
    auth: AuthBackend
    keycloak: KeycloakManager
    started: Health
    ready: Health
    health: Health


class State(TypedDict):
    """What every request finds in `scope["state"]`."""

    container: Container


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[State]]


def make_lifespan(
    settings: Settings, router: PackageRouter, rbac: RBACManager
) -> Lifespan:
    """Return the lifespan of an application.

    Args:
        settings: The process's settings.
        router: The messages it understands.
        rbac: The manager, with its first role map in force.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            container = _build(settings, router, rbac, stack)
            supervisor = await stack.enter_async_context(Supervisor())
            _start_tasks(container, supervisor)
            yield {"container": container}

    return lifespan


def _build(
    settings: Settings,
    router: PackageRouter,
    rbac: RBACManager,
    stack: AsyncExitStack,
) -> Container:
    database = Database(settings)
    redis = RRedis(settings, settings.main_redis_db)
    keys = JWKSCache(settings)
    keycloak = KeycloakManager(settings)
    for part in (database, redis, keys, keycloak):
        stack.push_async_callback(part.close)
    started = {
        "database": _reads(lambda: database.ready),
        "keycloak": _reads(lambda: keys.ready),
        "role_map": _reads(lambda: rbac.snapshot is not None),
    }
    ready = {**started, "database": database.ping}
    return Container(
        settings=settings,
        router=router,
        rbac=rbac,
        database=database,
        redis=redis,
        keys=keys,
        auth=AuthBackend(keys, settings.issuer, settings.keycloak_client_id),
        keycloak=keycloak,
        started=Health(started),
        ready=Health(ready),
        health=Health({**ready, "redis": redis.ping}),
    )


def _reads(condition: Callable[[], bool]) -> Check:
    async def check() -> bool:
        return condition()

    return check


def _start_tasks(container: Container, supervisor: Supervisor) -> None:
    path = container.settings.actions_file_path
    supervisor.start("keys", container.keys.run)
    supervisor.start("database", container.database.wait_and_init_db)
    supervisor.start(
        "permissions",
        partial(
            watch_permissions,
            path,
            container.rbac,
            ACTIONS_FILE_POLL_SECONDS,
        ),
    )
