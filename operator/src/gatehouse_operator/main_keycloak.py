"""The operator of Keycloak: `python -m gatehouse_operator.main_keycloak`.

kopf watches, and what it sees goes to the controller at once; what is there
the controller asks for itself as well, so nothing hangs on an event that was
lost.
"""

import asyncio
from typing import Any, Final

import kopf
import structlog
from httpx2 import HTTPError

from gatehouse_operator import api_server, process
from gatehouse_operator.errors import KeycloakError
from gatehouse_operator.keycloak.account import Account, make_account
from gatehouse_operator.keycloak.admin import AdminApi
from gatehouse_operator.keycloak.api import KeycloakApi
from gatehouse_operator.keycloak.clients import Clients
from gatehouse_operator.keycloak.realms import Realms
from gatehouse_operator.kopf_settings import configure
from gatehouse_operator.kube import (
    CLIENT,
    MADE_FOR_CLIENT,
    REALM,
    Kube,
    cluster_id,
    owner_key,
    values,
)
from gatehouse_operator.logging import configure_logging
from gatehouse_operator.probes import Health, served
from gatehouse_operator.resources.base import GROUP, VERSION
from gatehouse_operator.resources.resource import Resource
from gatehouse_operator.settings import (
    KeycloakSettings,
    account_name,
    compiled_name,
    load_settings,
)
from gatehouse_operator.sync.client import ClientSync
from gatehouse_operator.sync.controller import Controller
from gatehouse_operator.sync.realm import RealmSync
from gatehouse_operator.sync.secrets import ClientSecrets
from gatehouse_operator.sync.sweep import Sweep
from gatehouse_operator.sync.view import View

logger = structlog.get_logger(__name__)

kopf.on.login()(api_server.login)

_LOOKS: Final = 4
"""For so many looks at everything one that was good counts."""
_RETRY_SECONDS: Final = 2.0
_KEY: Final = "client-secret"
_OURS: Final = {MADE_FOR_CLIENT: "true"}


@kopf.on.event(GROUP, VERSION, "keycloakclients")
@kopf.on.event(GROUP, VERSION, "keycloakrealms")
async def resource_changed(
    memo: kopf.Memo, event: kopf.RawEvent, body: kopf.Body, **_: Any
) -> None:
    """Look at a resource."""
    is_deleted = event["type"] == "DELETED"
    controller = await memo.controller
    controller.heard(Resource.of(body), is_deleted=is_deleted)


@kopf.on.event("secrets", labels=_OURS)
async def secret_changed(
    memo: kopf.Memo, event: kopf.RawEvent, body: kopf.Body, **_: Any
) -> None:
    """Look at the client whose Secret was edited or deleted."""
    key = owner_key(body)
    if event["type"] is not None and key is not None:
        (await memo.controller).wake(key)


@kopf.on.startup()
async def start(
    settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any
) -> None:
    """Begin to keep Keycloak as it should be."""
    configure(settings)
    settings.watching.label_selectors["secrets"] = f"{MADE_FOR_CLIENT}=true"
    ours: KeycloakSettings = memo.settings
    # A future, since what each object's handlers get is a copy of the memo.
    memo.controller = asyncio.get_running_loop().create_future()
    health = Health(_LOOKS * ours.compare_seconds)
    port = await memo.stack.enter_async_context(
        served(health, ours.probe_host, ours.probe_port)
    )
    logger.info("operator started", probes=port)
    process.begin(memo, _keep(memo, ours, health))


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End at once; what was not done is done by whoever starts next."""
    await process.end(memo)


async def _keep(
    memo: kopf.Memo, ours: KeycloakSettings, health: Health
) -> None:
    """Get the account, then go on until cancelled."""
    client = api_server.client(ours.namespace, "gatehouse-keycloak")
    memo.stack.push_async_callback(client.aclose)
    kube = Kube(client, compiled_name(ours.release))
    url, verify = str(ours.keycloak_base_url), str(ours.keycloak_ca_file or "")
    bootstrap = None
    if ours.keycloak_bootstrap_client_id:
        bootstrap = KeycloakApi(
            url,
            ours.keycloak_bootstrap_client_id,
            _plain(ours.keycloak_bootstrap_client_secret),
            verify or True,
        )
        memo.stack.push_async_callback(bootstrap.aclose)
    secret = await _account_secret(ours, kube, bootstrap, health)
    api = KeycloakApi(url, ours.keycloak_client_id, secret, verify or True)
    memo.stack.push_async_callback(api.aclose)
    account = Account(ours.keycloak_client_id, bootstrap, api)
    cluster = cluster_id(api_server.config())
    controller = _controller(ours, kube, api, account, cluster, health)
    memo.controller.set_result(controller)
    await controller.run()


def _controller(
    ours: KeycloakSettings,
    kube: Kube,
    api: AdminApi,
    account: Account,
    cluster: str,
    health: Health,
) -> Controller:
    view = View()
    clients, realms = Clients(api), Realms(api)
    secrets = ClientSecrets(kube, clients, api)
    realm_sync = RealmSync(kube, realms, account, view, cluster)
    client_sync = ClientSync(kube, clients, secrets, view, cluster)
    sweep = Sweep(
        realms,
        clients,
        (realm_sync, client_sync),
        view,
        cluster,
        ours.orphan_grace_seconds,
    )
    return Controller(
        kube,
        view,
        {REALM: realm_sync, CLIENT: client_sync},
        sweep,
        health,
        ours.compare_seconds,
    )


async def _account_secret(
    ours: KeycloakSettings,
    kube: Kube,
    bootstrap: AdminApi | None,
    health: Health,
) -> str:
    """Return the secret of the account, which is made if it is not there."""
    if ours.keycloak_client_secret is not None:
        return _plain(ours.keycloak_client_secret)
    name = account_name(ours.release)
    while True:
        health.beat()
        try:
            found = await kube.secret(name)
            if found is not None and values(found).get(_KEY):
                return values(found)[_KEY]
            if bootstrap is not None:
                made = await make_account(bootstrap, ours.keycloak_client_id)
                data = {"client-id": ours.keycloak_client_id, _KEY: made}
                await kube.create_secret(name, data)
                logger.info("account made", client_id=ours.keycloak_client_id)
                return made
            logger.warning("no account", secret=name)
        except (KeycloakError, HTTPError) as error:
            logger.warning("account not made", reason=str(error))
        await asyncio.sleep(_RETRY_SECONDS)


def _plain(secret: Any) -> str:
    return str(secret.get_secret_value())


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings(KeycloakSettings)
    configure_logging()
    process.run(settings)


if __name__ == "__main__":
    main()
