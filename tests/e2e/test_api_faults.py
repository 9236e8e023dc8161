"""The operators, and an API server that is at fault or takes notes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from gatehouse_operator.manifests import (
    keycloak_manifests,
    role_map_manifests,
)
from tests.e2e.api_proxy import ApiProxy, Call
from tests.e2e.conftest import KEY, RELEASE, Kubectl, account, operators, until
from tests.e2e.test_keycloak import (
    WEB,
    bootstrap,
    client_of,
    ready,
    realm,
    realm_resource,
    secret_of,
)
from tests.e2e.test_role_maps import BUILT_IN, in_force, patch, until_seeded
from tests.fixtures.realm import Realm
from tests.fixtures.servers import Servers

__all__ = ["bootstrap", "realm"]

MADE = {"rbac": role_map_manifests, "keycloak": keycloak_manifests}
MENDED_SECONDS: Final = 15.0
FAULTS: Final[dict[str, Callable[[ApiProxy], None]]] = {
    "cut": ApiProxy.cut,
    "stalled watch": ApiProxy.stall,
    "410": ApiProxy.expire,
    "409": lambda proxy: proxy.refuse(409, 2),
    "429": lambda proxy: proxy.refuse(429, 3),
    "500": lambda proxy: proxy.refuse(500, 3),
}


@dataclass
class World:
    """Both operators, which reach the API server over a wire of ours."""

    kubectl: Kubectl
    proxy: ApiProxy
    realm: Realm


@pytest.fixture
async def world(
    kubectl: Kubectl,
    servers: Servers,
    redis: Redis,
    realm: Realm,
    bootstrap: dict[str, str],
    tmp_path: Path,
) -> AsyncIterator[World]:
    """Both operators, when all that they keep is as it should be."""
    settings = {
        "rbac": {"RBAC_SIGNING_KEY": KEY, "REDIS_URL": servers.redis_url},
        "keycloak": {
            "KEYCLOAK_BASE_URL": servers.keycloak_base_url,
            "COMPARE_SECONDS": "3",
            **bootstrap,
        },
    }
    config = kubectl.json("config", "view", "--raw", "--minify")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(ApiProxy(config).served())
        for part, environment in settings.items():
            folder = tmp_path / part
            folder.mkdir()
            made = MADE[part](kubectl.namespace, RELEASE, "none")
            path = account(kubectl, made, folder, proxy.url)
            start = await stack.enter_async_context(
                operators(
                    f"gatehouse_operator.main_{part}",
                    folder,
                    KUBECONFIG=str(path),
                    NAMESPACE=kubectl.namespace,
                    **environment,
                )
            )
            await start()
        kubectl.apply(realm_resource(realm))
        kubectl.apply(WEB)
        await until_seeded(redis)
        await asyncio.to_thread(ready, kubectl, "kc/web")
        yield World(kubectl, proxy, realm)


async def until_edited(world: World, number: int) -> None:
    """Edit a map and a client, and wait until both are in force."""
    kubectl = world.kubectl
    before = (await asyncio.to_thread(in_force, kubectl))[0]
    text = BUILT_IN["reader"] + f"http GET /made-up/{number}\n"
    uris = [f"https://{number}.example/*"]
    await asyncio.to_thread(patch, kubectl, reader=text)
    await asyncio.to_thread(kubectl.patch_spec, "kc/web", redirectUris=uris)

    async def is_edited() -> bool:
        revision = (await asyncio.to_thread(in_force, kubectl))[0]
        client = await asyncio.to_thread(client_of, world.realm, "web")
        assert client is not None
        return revision > before and client["redirectUris"] == uris

    await until(is_edited, MENDED_SECONDS)


@pytest.mark.timeout(300)
async def test_what_goes_wrong_with_the_api_server_is_made_up_for(
    world: World,
) -> None:
    """Whatever it is, and without a restart."""
    for number, (name, begin) in enumerate(FAULTS.items()):
        begin(world.proxy)
        try:
            await until_edited(world, number)
        except AssertionError:
            pytest.fail(f"not made up for: {name}")
        finally:
            world.proxy.release()


def fits(call: Call, rule: dict[str, Any]) -> bool:
    """Say whether a rule of a Role allows a call."""
    names = rule.get("resourceNames")
    return (
        call.group in rule["apiGroups"]
        and call.resource in rule["resources"]
        and call.verb in rule["verbs"]
        and (names is None or call.name in names)
    )


def uses(rules: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Every right that rules give, but those that are asked of nobody."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if resource != "rolemaps"
    }


async def test_what_is_asked_is_what_the_roles_allow(world: World) -> None:
    """Nothing is denied, and no rule is there that nobody needs."""
    kubectl = world.kubectl
    await until_edited(world, 0)
    before = secret_of(kubectl, "web-oidc")
    edit = '{"data":{"client-secret":"bm8="}}'
    kubectl("patch", "secret", "web-oidc", "--patch", edit)

    async def is_mended() -> bool:
        held = await asyncio.to_thread(secret_of, kubectl, "web-oidc")
        return held == before

    await until(is_mended, MENDED_SECONDS)
    kubectl.patch_spec("kc/web", secret={"name": "moved"})

    async def is_moved() -> bool:
        names = await asyncio.to_thread(
            kubectl, "get", "secrets", "--output", "name"
        )
        return "secret/moved" in names and "secret/web-oidc" not in names

    await until(is_moved, MENDED_SECONDS)
    assert before == secret_of(kubectl, "moved")
    await until_done(kubectl)
    rules = [
        rule
        for make in MADE.values()
        for manifest in make(kubectl.namespace, RELEASE, "none")
        if manifest["kind"] == "Role"
        for rule in manifest["rules"]
    ]
    calls = set(world.proxy.calls)
    assert [] == [call for call in calls if call.status in {401, 403}]
    assert [] == [c for c in calls if not any(fits(c, r) for r in rules)]
    used = {(call.group, call.resource, call.verb) for call in calls}
    assert set() == uses(rules) - used


async def until_done(kubectl: Kubectl) -> None:
    """Wait until an edited Secret has been put right, too."""
    kubectl("delete", "secret", "moved")

    async def is_back() -> bool:
        names = await asyncio.to_thread(
            kubectl, "get", "secrets", "--output", "name"
        )
        return "secret/moved" in names

    done: Awaitable[None] = until(is_back, MENDED_SECONDS)
    await done
