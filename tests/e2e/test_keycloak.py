"""Realms and clients, from kubectl to a real Keycloak and back."""

import asyncio
import base64
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from app.dev.ports import free_port
from gatehouse_operator.keycloak.account import NEEDED
from gatehouse_operator.manifests import keycloak_manifests
from tests.e2e.conftest import (
    RELEASE,
    Kubectl,
    Say,
    StartOperator,
    account,
    ended,
    operators,
    until,
)
from tests.fixtures.ledger import LEDGER
from tests.fixtures.proxy import Proxy
from tests.fixtures.realm import Realm
from tests.fixtures.servers import Servers

CLIENTS: Final = int(os.environ.get("SOAK_CLIENTS", "200"))
STEADY_SECONDS: Final = float(os.environ.get("SOAK_STEADY", "60"))
COMPARE_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 5.0
FLAT_BYTES: Final = 8 * 2**20
DRIFT_SECONDS: Final = 30.0
SECRET_SECONDS: Final = 5.0
PASSWORD: Final = secrets.token_urlsafe()


@pytest.fixture
def realm(servers: Servers) -> Iterator[Realm]:
    """A realm that is not there yet, and is gone afterwards."""
    realm = Realm(servers)
    yield realm
    realm.remove()


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """The way to Keycloak, which can be cut."""
    wire = Proxy(servers.keycloak_base_url)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
def bootstrap(servers: Servers) -> Iterator[dict[str, str]]:
    """What Keycloak's administrator gives the operator to begin with."""
    master = Realm(servers)
    master.name = "master"
    name, secret = f"boot-{secrets.token_hex(4)}", secrets.token_urlsafe()
    LEDGER.keep("client secret", secret)
    made = master.administrate(
        "POST",
        "/clients",
        {"clientId": name, "secret": secret, "serviceAccountsEnabled": True},
    )
    client = made.headers["location"].rpartition("/")[2]
    user = master.administrate(
        "GET", f"/clients/{client}/service-account-user"
    ).json()["id"]
    role = master.administrate("GET", "/roles/admin").json()
    master.administrate("POST", f"/users/{user}/role-mappings/realm", [role])
    yield {
        "KEYCLOAK_BOOTSTRAP_CLIENT_ID": name,
        "KEYCLOAK_BOOTSTRAP_CLIENT_SECRET": secret,
        "KEYCLOAK_CLIENT_ID": f"operator-{name}",
    }
    for one in (name, f"operator-{name}"):
        for found in master.administrate(
            "GET", f"/clients?clientId={one}"
        ).json():
            master.administrate("DELETE", f"/clients/{found['id']}")


@pytest.fixture
async def start(
    kubectl: Kubectl,
    wire: Proxy,
    servers: Servers,
    bootstrap: dict[str, str],
    tmp_path: Path,
) -> AsyncIterator[StartOperator]:
    """A function that starts the operator of Keycloak."""
    made = keycloak_manifests(kubectl.namespace, RELEASE, "none")
    async with operators(
        "gatehouse_operator.main_keycloak",
        tmp_path,
        KUBECONFIG=str(account(kubectl, made, tmp_path)),
        NAMESPACE=kubectl.namespace,
        KEYCLOAK_BASE_URL=wire.via(servers.keycloak_base_url),
        COMPARE_SECONDS=str(COMPARE_SECONDS),
        ORPHAN_GRACE_SECONDS=str(GRACE_SECONDS),
        **bootstrap,
    ) as start:
        yield start


def realm_resource(realm: Realm, **spec: Any) -> dict[str, Any]:
    """A KeycloakRealm."""
    return _resource("KeycloakRealm", "shop", {"realm": realm.name, **spec})


def client_resource(name: str, **spec: Any) -> dict[str, Any]:
    """A KeycloakClient of it."""
    given = {"realmRef": "shop", "clientId": name, "type": "public", **spec}
    return _resource("KeycloakClient", name, given)


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gatehouse.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


WEB: Final = client_resource(
    "web",
    type="confidential",
    redirectUris=["https://shop.example/*"],
    webOrigins=["https://shop.example"],
    flows={
        "standard": True,
        "direct": True,
        "serviceAccount": True,
        "device": True,
    },
    roles=["viewer", "buyer"],
    audiences=["gatehouse"],
    scopes={
        "default": ["profile", "roles", "basic"],
        "optional": ["address"],
    },
    mappers=[
        {
            "name": "region",
            "protocolMapper": "oidc-hardcoded-claim-mapper",
            "config": {
                "claim.name": "region",
                "claim.value": "eu",
                "jsonType.label": "String",
                "access.token.claim": "true",
            },
        }
    ],
    attributes={"pkce.code.challenge.method": "S256"},
    serviceAccountRoles={
        "realm": ["reader"],
        "clients": {"realm-management": ["view-events"]},
    },
    secret={"name": "web-oidc"},
)


def whole_realm(realm: Realm) -> dict[str, Any]:
    """A KeycloakRealm with every field."""
    return realm_resource(
        realm,
        displayName="Shop",
        sslRequired="external",
        passwordPolicy="length(8)",
        roles=[
            {"name": "reader", "description": "Reads"},
            {"name": "editor", "composites": ["reader"]},
        ],
        groups=[{"name": "staff", "realmRoles": ["editor"]}],
        tokens={
            "accessTokenLifespan": 240,
            "ssoSessionIdleTimeout": 1700,
            "ssoSessionMaxLifespan": 35000,
        },
        bruteForce={
            "enabled": True,
            "failures": 5,
            "waitIncrementSeconds": 50,
            "maxWaitSeconds": 800,
        },
        events={
            "enabled": True,
            "expirationSeconds": 86400,
            "adminEnabled": True,
            "adminDetails": True,
        },
        demo={
            "users": [
                {
                    "username": "ada",
                    "passwordFrom": {"name": "demo", "key": "ada"},
                    "realmRoles": ["editor"],
                }
            ]
        },
    )


def ready(kubectl: Kubectl, *names: str, seconds: int = 60) -> None:
    """Wait for resources as anybody would."""
    timeout = f"--timeout={seconds}s"
    kubectl("wait", "--for=condition=Ready", *names, timeout)


def whole(kubectl: Kubectl, realm: Realm) -> None:
    """Apply a realm and a client that have every field, and wait."""
    kubectl(
        *("create", "secret", "generic", "demo"),
        f"--from-literal=ada={PASSWORD}",
    )
    kubectl.apply(whole_realm(realm))
    kubectl.apply(WEB)
    ready(kubectl, "kr/shop", "kc/web")


def secret_of(kubectl: Kubectl, name: str) -> dict[str, str]:
    """What a Secret holds."""
    data = kubectl.json("get", "secret", name)["data"]
    return {k: base64.b64decode(v).decode() for k, v in data.items()}


def client_of(realm: Realm, name: str) -> dict[str, Any] | None:
    """A client, as Keycloak has it."""
    found = realm.administrate("GET", f"/clients?clientId={name}").json()
    return found[0] if found else None


def claims_of(token: str) -> dict[str, Any]:
    """What a token says."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    )
    return claims


def token(realm: Realm, held: dict[str, str], **form: str) -> dict[str, Any]:
    """Sign in with what a Secret holds, at the URL that it names."""
    given = {
        "client_id": held["client-id"],
        "client_secret": held["client-secret"],
        **form,
    }
    assert held["issuer"] == realm.url
    answer = httpx.post(held["token-url"], data=given)
    assert httpx.codes.OK == answer.status_code, answer.text
    return claims_of(answer.json()["access_token"])


def told(kubectl: Kubectl, kind: str, reason: str) -> list[str]:
    """What Events of this kind and reason have said."""
    found = kubectl.json("get", "events")["items"]
    return [
        one["message"]
        for one in found
        if (one["involvedObject"]["kind"], one["reason"]) == (kind, reason)
    ]


def rights_of_operator(
    servers: Servers, realm: Realm, bootstrap: dict[str, str]
) -> set[str]:
    """What the operator's account may do in a realm."""
    master = Realm(servers)
    master.name = "master"
    account = client_of(master, bootstrap["KEYCLOAK_CLIENT_ID"])
    assert account is not None
    user = master.administrate(
        "GET", f"/clients/{account['id']}/service-account-user"
    ).json()["id"]
    mapped = master.administrate("GET", f"/users/{user}/role-mappings").json()
    rights = mapped["clientMappings"][f"{realm.name}-realm"]["mappings"]
    assert {"create-realm", "default-roles-master"} == {
        role["name"] for role in mapped["realmMappings"]
    }
    return {role["name"] for role in rights}


async def test_realm_and_client_are_as_their_specs_say(
    kubectl: Kubectl,
    start: StartOperator,
    realm: Realm,
    servers: Servers,
    bootstrap: dict[str, str],
) -> None:
    """People and programs sign in with what was made."""
    await start()
    await asyncio.to_thread(whole, kubectl, realm)
    held = secret_of(kubectl, "web-oidc")
    LEDGER.keep("client secret", held["client-secret"])
    machine = token(realm, held, grant_type="client_credentials")
    ada = token(
        realm, held, grant_type="password", username="ada", password=PASSWORD
    )
    assert "gatehouse" in machine["aud"]
    assert "eu" == machine["region"]
    assert "reader" in machine["realm_access"]["roles"]
    assert {"editor", "reader"} <= set(ada["realm_access"]["roles"])
    assert 240 == ada["exp"] - ada["iat"]
    assert NEEDED == rights_of_operator(servers, realm, bootstrap)
    web = kubectl("get", "kc", "web", "--no-headers").split()
    assert ["web", "shop", "web", "True"] == web[:4]


async def test_every_field_that_is_changed_is_put_right_and_named(
    kubectl: Kubectl, start: StartOperator, realm: Realm, say: Say
) -> None:
    """What the spec does not say stays as somebody has made it."""
    await start()
    await asyncio.to_thread(whole, kubectl, realm)
    before = client_of(realm, "web")
    assert before is not None
    spoil_realm(realm)
    spoil_client(realm, before)
    began = time.monotonic()

    async def is_named() -> bool:
        said = await asyncio.to_thread(named_drift, kubectl)
        return CLIENT_FIELDS <= said and REALM_FIELDS <= said

    with suppress(AssertionError):
        await until(is_named, DRIFT_SECONDS)
    missing = (CLIENT_FIELDS | REALM_FIELDS) - named_drift(kubectl)
    assert set() == missing
    say(f"drift put right in {time.monotonic() - began:.1f} s")
    after = client_of(realm, "web")
    assert after is not None
    assert "kept" == after["attributes"]["somebodys.own"]
    assert "Somebody's" == after["name"]
    ready(kubectl, "kr/shop", "kc/web")
    kubectl.patch_spec("kc/web", roles=[], audiences=[])
    await until_no_roles(realm, before["id"])


CLIENT_FIELDS: Final = {
    *("type", "redirectUris", "webOrigins", "flows.standard", "flows.direct"),
    *("flows.device", "roles", "audiences", "scopes.default"),
    *("scopes.optional", "mappers", "attributes.pkce.code.challenge.method"),
    "serviceAccountRoles.realm",
    "serviceAccountRoles.clients.realm-management",
}
REALM_FIELDS: Final = {
    *("displayName", "sslRequired", "passwordPolicy", "roles", "groups"),
    *("roles.editor.composites", "roles.reader.description"),
    *("groups.staff.realmRoles", "tokens.accessTokenLifespan"),
    *("tokens.ssoSessionIdleTimeout", "tokens.ssoSessionMaxLifespan"),
    *("bruteForce.enabled", "bruteForce.failures"),
    *("bruteForce.waitIncrementSeconds", "bruteForce.maxWaitSeconds"),
    *("events.enabled", "events.expirationSeconds", "events.adminEnabled"),
    *("events.adminDetails", "demo.users.ada"),
}


def named_drift(kubectl: Kubectl) -> set[str]:
    """Every field that Events have named."""
    found = told(kubectl, "KeycloakClient", "DriftCorrected")
    found += told(kubectl, "KeycloakRealm", "DriftCorrected")
    return {name for message in found for name in message.split(", ")}


def spoil_realm(realm: Realm) -> None:
    """Change all that the spec of the realm says."""
    realm.administrate(
        "PUT",
        "",
        {
            "displayName": "Other",
            "sslRequired": "none",
            "passwordPolicy": "",
            "accessTokenLifespan": 99,
            "ssoSessionIdleTimeout": 99,
            "ssoSessionMaxLifespan": 999,
            "bruteForceProtected": False,
            "failureFactor": 99,
            "waitIncrementSeconds": 99,
            "maxFailureWaitSeconds": 99,
            "eventsEnabled": False,
            "eventsExpiration": 99,
            "adminEventsEnabled": False,
            "adminEventsDetailsEnabled": False,
        },
    )
    realm.administrate("POST", "/roles", {"name": "intruder"})
    realm.administrate(
        "PUT", "/roles/reader", {"name": "reader", "description": "?"}
    )
    reader = realm.administrate("GET", "/roles/reader").json()
    realm.administrate("DELETE", "/roles/editor/composites", [reader])
    (group,) = realm.administrate("GET", "/groups?search=staff").json()
    realm.administrate(
        "POST", f"/groups/{group['id']}/role-mappings/realm", [reader]
    )
    realm.administrate("POST", "/groups", {"name": "intruders"})
    (ada,) = realm.administrate("GET", "/users?username=ada").json()
    realm.administrate("DELETE", f"/users/{ada['id']}")


def spoil_client(realm: Realm, client: dict[str, Any]) -> None:
    """Change all that the spec of the client says, and more."""
    path = f"/clients/{client['id']}"
    user = realm.administrate("GET", f"{path}/service-account-user").json()
    roles = f"/users/{user['id']}/role-mappings"
    mapped = realm.administrate("GET", roles).json()
    management = mapped["clientMappings"]["realm-management"]
    reader = [r for r in mapped["realmMappings"] if r["name"] == "reader"]
    realm.administrate("DELETE", f"{roles}/realm", reader)
    realm.administrate(
        "DELETE", f"{roles}/clients/{management['id']}", management["mappings"]
    )
    realm.administrate("DELETE", f"{path}/roles/viewer")
    for mapper in client["protocolMappers"]:
        mapper["config"]["included.client.audience"] = "other"
        mapper["config"]["claim.value"] = "mars"
        realm.administrate(
            "PUT", f"{path}/protocol-mappers/models/{mapper['id']}", mapper
        )
    scopes = {
        one["name"]: one["id"]
        for one in realm.administrate("GET", "/client-scopes").json()
    }
    realm.administrate(
        "DELETE", f"{path}/default-client-scopes/{scopes['roles']}"
    )
    realm.administrate(
        "PUT", f"{path}/optional-client-scopes/{scopes['phone']}"
    )
    realm.administrate(
        "PUT",
        path,
        {
            "name": "Somebody's",
            "publicClient": True,
            "redirectUris": ["https://elsewhere.example/*"],
            "webOrigins": [],
            "standardFlowEnabled": False,
            "directAccessGrantsEnabled": False,
            "attributes": {
                "somebodys.own": "kept",
                "pkce.code.challenge.method": "plain",
                "oauth2.device.authorization.grant.enabled": "false",
            },
        },
    )


async def until_no_roles(realm: Realm, client: str) -> None:
    """Wait until a client has no role."""

    async def has_none() -> bool:
        found = realm.administrate("GET", f"/clients/{client}/roles")
        return "[]" == found.text

    await until(has_none, DRIFT_SECONDS)


async def test_a_secret_that_is_deleted_or_edited_is_back(
    kubectl: Kubectl, start: StartOperator, realm: Realm
) -> None:
    """As it was, and within five seconds; one that is too old is renewed."""
    await start(COMPARE_SECONDS="600")
    kubectl.apply(realm_resource(realm))
    spec = {"type": "confidential", "secret": {"name": "web-oidc"}}
    kubectl.apply(client_resource("web", **spec))
    await asyncio.to_thread(ready, kubectl, "kc/web")
    before = secret_of(kubectl, "web-oidc")

    async def is_back() -> bool:
        names = kubectl("get", "secrets", "--output", "name").split()
        return (
            "secret/web-oidc" in names
            and secret_of(kubectl, "web-oidc") == before
        )

    kubectl("delete", "secret", "web-oidc")
    await until(is_back, SECRET_SECONDS)
    edit = {"data": {"client-secret": base64.b64encode(b"no").decode()}}
    kubectl("patch", "secret", "web-oidc", "--patch", json.dumps(edit))
    await until(is_back, SECRET_SECONDS)
    client = client_of(realm, "web")
    assert client is not None
    old = {"attributes": {"client.secret.creation.time": "1000000000"}}
    realm.administrate("PUT", f"/clients/{client['id']}", old)
    kubectl.patch_spec("kc/web", secret={"rotateEvery": "720h"})

    async def is_renewed() -> bool:
        return (
            secret_of(kubectl, "web-oidc")["client-secret"]
            != before["client-secret"]
        )

    await until(is_renewed, SECRET_SECONDS)
    assert 1 == len(told(kubectl, "KeycloakClient", "Rotated"))


async def test_what_is_not_ours_is_left_alone(
    kubectl: Kubectl, start: StartOperator, realm: Realm
) -> None:
    """The resource says so, until it is told to take it."""
    await start()
    kubectl.apply(realm_resource(realm))
    await asyncio.to_thread(ready, kubectl, "kr/shop")
    realm.administrate("POST", "/clients", {"clientId": "foreign"})
    before = client_of(realm, "foreign")
    spec = {"redirectUris": ["https://mine.example/*"]}
    kubectl.apply(client_resource("foreign", adopt="Never", **spec))
    kubectl.apply(client_resource("account", **spec))
    for name in ("foreign", "account"):
        kubectl("wait", f"kc/{name}", "--for=condition=Ready=False")
        conditions = kubectl.json("get", f"kc/{name}")["status"]["conditions"]
        said = [(c["type"], c["status"], c["reason"]) for c in conditions]
        assert [
            ("Ready", "False", "NotOwned"),
            ("Synced", "False", "NotOwned"),
        ] == said[:2]
    assert before == client_of(realm, "foreign")
    kubectl("delete", "kc/foreign")
    kubectl.apply(client_resource("foreign", **spec))
    await asyncio.to_thread(ready, kubectl, "kc/foreign")
    after = client_of(realm, "foreign")
    assert after is not None
    assert spec["redirectUris"] == after["redirectUris"]


async def test_what_is_deleted_goes_whoever_is_away(
    kubectl: Kubectl, start: StartOperator, realm: Realm, wire: Proxy
) -> None:
    """Nothing waits for Keycloak, and nothing is forgotten."""
    operator = await start()
    kubectl.apply(realm_resource(realm))
    kubectl.apply(client_resource("kept", deletionPolicy="Orphan"))
    names = ("first", "second", "third")
    for name in names:
        kubectl.apply(client_resource(name))
    every = [f"kc/{name}" for name in ("kept", *names)]
    await asyncio.to_thread(ready, kubectl, *every)

    async def gone(name: str, seconds: float) -> None:
        async def is_gone() -> bool:
            return client_of(realm, name) is None

        await until(is_gone, seconds)

    kubectl("delete", "kc/first")
    await gone("first", SECRET_SECONDS)
    await asyncio.to_thread(wire.stop)
    kubectl("delete", "kc/second", "--timeout=5s")
    assert client_of(realm, "second") is not None
    await asyncio.to_thread(wire.start)
    await gone("second", DRIFT_SECONDS)
    await ended(operator)
    kubectl("delete", "kc", "--all", "--timeout=5s")
    began = time.monotonic()
    await start()
    await gone("third", DRIFT_SECONDS)
    assert time.monotonic() - began >= GRACE_SECONDS

    async def is_released() -> bool:
        kept = client_of(realm, "kept")
        assert kept is not None
        return not [k for k in kept["attributes"] if "gatehouse.dev" in k]

    await until(is_released, DRIFT_SECONDS)
    assert client_of(realm, "account") is not None


async def test_a_namespace_goes_whoever_is_away(
    kubectl: Kubectl, start: StartOperator, realm: Realm, wire: Proxy
) -> None:
    """And what was kept for it goes when both are back."""
    operator = await start()
    kubectl.apply(realm_resource(realm))
    kubectl.apply(client_resource("left"))
    await asyncio.to_thread(ready, kubectl, "kc/left")
    held = secret_of(kubectl, f"{RELEASE}-operator-account")
    LEDGER.keep("client secret", held["client-secret"])
    await asyncio.to_thread(wire.stop)
    await ended(operator)
    namespace = kubectl.namespace
    await asyncio.to_thread(
        kubectl, "delete", "namespace", namespace, "--timeout=60s"
    )
    assert client_of(realm, "left") is not None
    await asyncio.to_thread(wire.start)
    await start(  # its own account has gone with the namespace
        KUBECONFIG=os.environ["KUBECONFIG"],
        KEYCLOAK_CLIENT_SECRET=held["client-secret"],
    )

    async def is_gone() -> bool:
        return client_of(realm, "left") is None

    await until(is_gone, DRIFT_SECONDS)
    kubectl("create", "namespace", namespace)  # for who cleans up


@pytest.mark.timeout(300 + STEADY_SECONDS)
async def test_many_clients_at_once_then_nothing_to_do(
    kubectl: Kubectl, start: StartOperator, realm: Realm, say: Say
) -> None:
    """All are ready; afterwards Keycloak is read, and nothing is written."""
    port = free_port()
    operator = await start(PROBE_PORT=str(port), COMPARE_SECONDS="10")
    kubectl.apply(realm_resource(realm))
    await asyncio.to_thread(ready, kubectl, "kr/shop")
    names = [f"client-{number}" for number in range(CLIENTS)]
    many = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [client_resource(name, roles=["user"]) for name in names],
    }
    began = time.monotonic()
    await asyncio.to_thread(kubectl.apply, many)
    every = [f"kc/{name}" for name in names]
    await asyncio.to_thread(ready, kubectl, *every, seconds=120)
    spent = time.monotonic() - began
    calls = sum((await keycloak_calls(port)).values())
    say(f"{CLIENTS} clients ready in {spent:.1f} s, {calls:.0f} calls")
    versions = revisions(kubectl)
    before = await keycloak_calls(port)
    memory = psutil.Process(operator.pid).memory_info().rss
    await asyncio.sleep(STEADY_SECONDS)
    after = await keycloak_calls(port)
    grown = psutil.Process(operator.pid).memory_info().rss - memory
    assert grown < FLAT_BYTES
    assert versions == revisions(kubectl)
    assert after["GET"] > before["GET"]
    assert {**before, "GET": 0} == {**after, "GET": 0}


def revisions(kubectl: Kubectl) -> list[str]:
    """The versions of all resources."""
    items = kubectl.json("get", "kc,kr")["items"]
    return [one["metadata"]["resourceVersion"] for one in items]


async def keycloak_calls(port: int) -> dict[str, float]:
    """How often the operator has asked Keycloak, by verb."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    found: dict[str, float] = {}
    for line in answer.text.splitlines():
        if line.startswith("operator_keycloak_calls_total{"):
            verb = line.partition('verb="')[2].partition('"')[0]
            found[verb] = found.get(verb, 0) + float(line.split()[-1])
    return found
