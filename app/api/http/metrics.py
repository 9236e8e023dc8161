"""What Prometheus reads.

What only has a value now (pools, the role map in force) is looked at when
somebody asks, so that no metric is older than its scrape and several
applications of one process never write over each other in between.
"""

import platform
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app import __version__
from app.dependencies import ContainerDep
from app.utils.exposition import exposition
from app.utils.metrics import (
    app_info,
    db_connections_active,
    pool_in_use,
    rbac_map_info,
)

if TYPE_CHECKING:
    from app.lifespan import Container

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def get_metrics(container: ContainerDep) -> Response:
    """Tell every metric in Prometheus' text format."""
    _look_at(container)
    return Response(await exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _look_at(container: "Container") -> None:
    environment = container.settings.environment
    app_info.clear()
    app_info.labels(__version__, platform.python_version(), environment).set(1)
    rbac_map_info.clear()
    snapshot = container.rbac.snapshot
    if snapshot is not None:
        rbac_map_info.labels(
            str(snapshot.revision), snapshot.digest, snapshot.source
        ).set(1)
    db_connections_active.set(container.database.connections)
    pool_in_use.labels("db").set(container.database.connections_in_use)
    pool_in_use.labels("redis").set(container.redis.connections_in_use)
    if container.auth_redis is not container.redis:
        in_use = container.auth_redis.connections_in_use
        pool_in_use.labels("auth_redis").set(in_use)
