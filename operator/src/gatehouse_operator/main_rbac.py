"""The operator of role maps: `python -m gatehouse_operator.main_rbac`.

kopf watches, and wakes the keeper at each event; what is there the keeper
asks for itself, so nothing hangs on an event that was lost.
"""

from typing import Any

import kopf
import structlog

from app.schemas.permissions import load_file
from gatehouse_operator import api_server, process
from gatehouse_operator.cluster import LABEL, Cluster
from gatehouse_operator.deletion_cost import DeletionCosts
from gatehouse_operator.keeper import Keeper
from gatehouse_operator.kopf_settings import configure
from gatehouse_operator.logging import configure_logging
from gatehouse_operator.probes import Health, served
from gatehouse_operator.publisher import Publisher
from gatehouse_operator.redis_client import connected
from gatehouse_operator.settings import (
    RoleMapSettings,
    compiled_name,
    load_settings,
)
from gatehouse_operator.state import State

logger = structlog.get_logger(__name__)

kopf.on.login()(api_server.login)

_READY_SECONDS = 15.0
"""For so long a round that was good counts; rounds are two seconds apart."""
_SELECTED = {LABEL: "true"}


@kopf.on.event("configmaps", labels=_SELECTED)
async def something_changed(memo: kopf.Memo, **_: Any) -> None:
    """Look, whatever it was."""
    memo.keeper.wake()


@kopf.on.startup()
async def start(
    settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any
) -> None:
    """Begin to keep the map in force."""
    configure(settings)
    ours: RoleMapSettings = memo.settings
    key = ours.rbac_signing_key.get_secret_value().encode()
    client = api_server.client(ours.namespace, "gatehouse-rbac")
    health = Health(_READY_SECONDS)
    memo.stack.push_async_callback(client.aclose)
    redis = await memo.stack.enter_async_context(connected(ours))
    publisher = Publisher(redis)
    memo.keeper = Keeper(
        ours,
        load_file(ours.built_in_map_path),
        Cluster(client, compiled_name(ours.release), key),
        publisher,
        State(client, ours.release),
        health,
    )
    port = await memo.stack.enter_async_context(
        served(health, ours.probe_host, ours.probe_port)
    )
    logger.info("operator started", probes=port)
    work = [memo.keeper.run(), memo.keeper.follow()]
    if ours.deletion_costs:
        work.append(DeletionCosts(client, publisher).run())
    process.begin(memo, *work)


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End at once; what was not done is done by whoever starts next."""
    await process.end(memo)


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings(RoleMapSettings)
    configure_logging()
    process.run(settings)


if __name__ == "__main__":
    main()
