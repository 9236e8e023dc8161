"""What one process holds, made when it starts and closed when it ends.

Nothing here waits for another server: a process that starts while a server
is away answers its probes, is not ready, and becomes ready by itself. So a
dependency's outage never turns into a crash loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

import structlog
from fastapi import FastAPI
from opentelemetry.trace import Tracer

from app.auth import AuthBackend
from app.constants import (
    ACTIONS_FILE_POLL_SECONDS,
    GC_ALL_AFTER,
    GC_MANY,
    GC_SECONDS,
    LOOP_LOOK_SECONDS,
    LOOP_WARN_SECONDS,
)
from app.managers.keycloak_manager import KeycloakManager
from app.managers.rbac_manager import RBACManager
from app.managers.session_manager import SessionManager
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.routing import PackageRouter
from app.server.admission import Admission
from app.server.drain import Drain
from app.settings import Settings
from app.storage.audit import AuditQueue
from app.storage.db import Database
from app.storage.errors import is_known
from app.storage.redis import RRedis
from app.storage.role_maps import RoleMaps
from app.storage.session_stream import SessionStream
from app.tasks.audit_writer import AuditWriter
from app.tasks.clock_watch import watch_clock
from app.tasks.garbage import collect_garbage
from app.tasks.kc_user_session import UserSessionTask
from app.tasks.loop_watchdog import watch_loop
from app.tasks.permissions_watch import watch_permissions
from app.tasks.pushing import Pushing, process_name
from app.tasks.retention import Retention
from app.tasks.role_map_follower import RoleMapFollower
from app.tasks.sign_out import sign_out
from app.tasks.supervisor import Supervisor
from app.utils.deadline import Deadlines
from app.utils.health import Check, Health
from app.utils.jwks import JWKSCache
from app.utils.logout_token import LogoutTokens
from app.utils.rate_limiter import (
    ConnectionLimiter,
    Gate,
    Limits,
    RateLimiter,
)

if TYPE_CHECKING:
    from app.utils.span_export import SpanExport

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Container:
    """Everything that lives as long as the process, one of each."""

    settings: Settings
    router: PackageRouter
    rbac: RBACManager
    database: Database
    redis: RRedis
    auth_redis: RRedis
    keys: JWKSCache
    auth: AuthBackend
    keycloak: KeycloakManager
    deadlines: Deadlines
    sockets: WebSocketConnectionManager
    drain: Drain
    admission: Admission
    sessions: SessionManager
    logout_tokens: LogoutTokens
    user_sessions: UserSessionTask
    gate: Gate
    limiter: RateLimiter
    connections: ConnectionLimiter
    limits: Limits
    audit: AuditQueue
    audit_writer: AuditWriter
    retention: Retention
    pushing: Pushing
    role_maps: RoleMaps
    tracer: Tracer | None
    started: Health
    ready: Health
    health: Health


class State(TypedDict):
    """What every request finds in `scope["state"]`; the server, too."""

    container: Container
    drain: Drain
    admission: Admission


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[State]]


def make_lifespan(
    settings: Settings,
    router: PackageRouter,
    rbac: RBACManager,
    spans: "SpanExport | None" = None,
) -> Lifespan:
    """Return the lifespan of an application.

    Args:
        settings: The process's settings.
        router: The messages it understands.
        rbac: The manager, with its first role map in force.
        spans: Sends spans, where they are wanted.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        asyncio.get_running_loop().set_exception_handler(_report)
        async with AsyncExitStack() as stack:
            if spans is not None:
                spans.start()
                stack.push_async_callback(spans.close)
            tracer = spans.tracer if spans else None
            container = _build(settings, router, rbac, tracer, stack)
            supervisor = await stack.enter_async_context(Supervisor())
            _start_tasks(container, supervisor)
            yield {
                "container": container,
                "drain": container.drain,
                "admission": container.admission,
            }

    return lifespan


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop has to say, unless it is known."""
    if not is_known(context):
        loop.default_exception_handler(context)


def _build(
    settings: Settings,
    router: PackageRouter,
    rbac: RBACManager,
    tracer: Tracer | None,
    stack: AsyncExitStack,
) -> Container:
    database = Database(settings)
    redis = RRedis(settings, settings.main_redis_db)
    keys = JWKSCache(settings)
    keycloak = KeycloakManager(settings)
    sockets = WebSocketConnectionManager()
    audit = AuditQueue(
        settings.audit_queue_max_size, settings.audit_batch_size
    )
    audit_writer = AuditWriter(settings, audit)
    limiter_redis = RRedis(settings, settings.main_redis_db, hurried=True)
    gate = Gate(limiter_redis, settings.rate_limit_timeout_seconds)
    limiter = RateLimiter(gate)
    connections = ConnectionLimiter(gate, settings.ws_max_connections_per_user)
    auth_redis = redis.at(settings.auth_redis_db)
    patient_redis = limiter_redis.at(settings.auth_redis_db)
    sessions = SessionManager(
        SessionStream(auth_redis, patient_redis),
        settings.keycloak_session_max_seconds,
    )
    user_sessions = UserSessionTask(settings, auth_redis.client, sessions)
    issuer, client_id = settings.issuer, settings.keycloak_client_id
    for pool in (auth_redis, patient_redis, limiter_redis, limiter):
        stack.push_async_callback(pool.close)
    for part in (database, redis, keys, keycloak, audit_writer):
        stack.push_async_callback(part.close)
    stack.push_async_callback(user_sessions.close)
    pushing = Pushing(settings, database, redis, router.pushes, rbac, sockets)
    stack.push_async_callback(pushing.close)
    started = {
        "database": _reads(lambda: database.ready),
        "keycloak": _reads(lambda: keys.ready),
        "role_map": _reads(lambda: rbac.snapshot is not None),
    }
    ready = {**started, "database": database.ping}
    servers = {"redis": redis.ping}
    if auth_redis is not redis:
        servers["auth_redis"] = auth_redis.ping
    return Container(
        settings=settings,
        router=router,
        rbac=rbac,
        database=database,
        redis=redis,
        auth_redis=auth_redis,
        keys=keys,
        auth=AuthBackend(
            keys, issuer, client_id, has_ended=sessions.has_ended
        ),
        keycloak=keycloak,
        deadlines=Deadlines(settings.request_timeout_seconds),
        sockets=sockets,
        drain=Drain(settings, sockets),
        admission=Admission(settings),
        sessions=sessions,
        logout_tokens=LogoutTokens(keys, issuer, client_id),
        user_sessions=user_sessions,
        gate=gate,
        limiter=limiter,
        connections=connections,
        limits=Limits(settings, limiter, connections),
        audit=audit,
        audit_writer=audit_writer,
        retention=Retention(database, settings.audit_retention_days),
        pushing=pushing,
        role_maps=RoleMaps(redis, limiter_redis),
        tracer=tracer,
        started=Health(started),
        ready=Health(ready),
        health=Health({**ready, **servers}),
    )


def _reads(condition: Callable[[], bool]) -> Check:
    async def check() -> bool:
        return condition()

    return check


def _start_tasks(container: Container, supervisor: Supervisor) -> None:
    supervisor.start("keys", container.keys.run)
    supervisor.start("database", container.database.wait_and_init_db)
    supervisor.start("ended sessions", container.sessions.run)
    supervisor.start("kc_user_session", container.user_sessions.run)
    supervisor.start(
        "sign out", partial(sign_out, container.sessions, container.sockets)
    )
    supervisor.start("clock", partial(watch_clock, container.sockets))
    if container.limits.is_enabled:
        supervisor.start("limiter gate", container.gate.keep)
        supervisor.start("limiter", container.limiter.run)
        supervisor.start("socket leases", container.connections.run)
    supervisor.start("audit", container.audit_writer.run)
    supervisor.start("retention", container.retention.run)
    container.pushing.start(supervisor)
    supervisor.start(
        "loop",
        partial(
            watch_loop,
            LOOP_LOOK_SECONDS,
            LOOP_WARN_SECONDS,
            container.admission.note_lag,
        ),
    )
    supervisor.start(
        "garbage", partial(collect_garbage, GC_SECONDS, GC_MANY, GC_ALL_AFTER)
    )
    _follow_role_map(container, supervisor)


def _follow_role_map(container: Container, supervisor: Supervisor) -> None:
    """Follow the operator's map where there is a key for it, else the file."""
    settings = container.settings
    if settings.rbac_signing_key is None:
        watch = partial(
            watch_permissions,
            settings.actions_file_path,
            container.rbac,
            ACTIONS_FILE_POLL_SECONDS,
        )
        supervisor.start("permissions", watch)
        return
    follower = RoleMapFollower(
        settings.rbac_signing_key.get_secret_value().encode(),
        container.role_maps,
        settings.rbac_compiled_path,
        container.rbac,
        container.pushing.hub,
    )
    pod = process_name(settings.pod_name)
    supervisor.start("role map messages", follower.listen)
    supervisor.start("role map", follower.poll)
    acknowledge = partial(follower.acknowledge, pod, settings.pod_name)
    supervisor.start("role map acknowledged", acknowledge)
