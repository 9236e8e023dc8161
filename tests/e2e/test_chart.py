"""The whole system, installed by its chart on a real cluster.

The tests of this file are steps of one release, from nothing to nothing.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.api.ws.constants import PkgID, RSPCode
from app.dev.config import ROOT
from gatehouse_operator.admission import DELETION_COST
from tests.e2e.conftest import Kubectl, Say, until
from tests.e2e.release import (
    CHART,
    NAME,
    SETTINGS,
    Release,
    client_token,
    restricted,
)
from tests.fixtures.sockets import ask
from tests.soak.journal import Journal
from tests.soak.reckon import reckon
from tests.soak.run import Crowd, read_tables, run, summary
from tests.soak.stage import Stage

pytestmark = pytest.mark.timeout(900)

MONITORING: Final = Path(
    os.environ.get("MONITORING", ROOT.parent / "shared/kube/monitoring/up")
)
OTHERS: Final = ROOT / "tests" / "e2e" / "others"
PROMETHEUS: Final = "http://127.0.0.1:30090/api/v1"
EDITED: Final = "ws GET_AUTHORS\nws ME\nhttp GET /me\n"
SECONDS: Final = 30.0
DRIFT_SECONDS: Final = 30.0
SCRAPED_SECONDS: Final = 150.0
IN_FORCE_SECONDS: Final = 2.0
EXPORTED: Final = ("pg_up", "redis_up")
"""What the exporters of the bundled servers say that they reach."""


@pytest.fixture(scope="module")
def release(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Release]:
    """A release in a namespace of its own, which takes only `restricted`."""
    kubectl = Kubectl(f"gatehouse-{secrets.token_hex(4)}")
    kubectl("create", "namespace", kubectl.namespace)
    restricted(kubectl)
    yield Release(
        kubectl,
        tmp_path_factory.mktemp("values"),
        {
            "app": {
                "replicas": 3,
                "loginEnabled": True,
                "service": {"type": "NodePort"},
                "settings": SETTINGS,
                "preStopSeconds": 2,
                "drainSeconds": 3,
            },
            "keycloak": {"realm": {"demo": {"enabled": True}}},
            "operators": {"keycloak": {"compareSeconds": 3}},
        },
    )
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    policies = "validatingadmissionpolicies"
    for kind in (policies, policies.replace("policies", "policybindings")):
        for part in ("role-map-editors", "role-map-lines", "deletion-cost"):
            name = f"{NAME}-{part}.{kubectl.namespace}"
            kubectl("delete", kind, name, "--ignore-not-found")


def bearer(token: str) -> dict[str, str]:
    """The header that has a token."""
    return {"Authorization": f"Bearer {token}"}


def socket(url: str, token: str, **headers: str) -> connect:
    """A socket of the service at this address."""
    return connect(
        f"{url.replace('http', 'ws', 1)}/web",
        additional_headers={**bearer(token), **headers},
        proxy=None,
    )


def status_of(url: str, token: str) -> int:
    """How a request with a token is answered."""
    return httpx.get(url, headers=bearer(token), timeout=30).status_code


def role_map(release: Release) -> dict[str, str]:
    """The map that people edit."""
    found = release.kubectl.json("get", "configmap", f"{NAME}-roles")
    return dict(found["data"])


def edit(release: Release, **texts: str) -> None:
    """Edit some roles, as `kubectl edit` does."""
    patch = json.dumps({"data": texts})
    release.kubectl(
        *("patch", "configmap", f"{NAME}-roles", "--type=merge"),
        *("--field-manager=kubectl-edit", f"--patch={patch}"),
    )


async def pushed(connection: ClientConnection, kind: PkgID) -> Any:
    """The next push of a kind."""
    async with asyncio.timeout(SECONDS):
        while True:
            message = json.loads(await connection.recv())
            if message["pkg_id"] == kind:
                return message


def test_it_is_ready_from_nothing(release: Release, say: Say) -> None:
    """And its own tests pass."""
    say(f"installed and ready after {release.install():.0f} s")
    began = time.monotonic()
    said = release.helm("test", NAME, "--logs", "--timeout", "3m")
    for line in ("HTTP: read and wrote", "socket: answered", "role map: in"):
        assert line in said
    say(f"helm test: {since(began):.0f} s")


@pytest.fixture
def proxied(release: Release, tmp_path: Path) -> Iterator[str]:
    """The release behind nginx, as behind an ingress; gives its address."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "no nginx (make nginx)"
    port = 20_000 + secrets.randbelow(10_000)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"""
        daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
        events {{}}
        http {{
          access_log off;
          client_body_temp_path {tmp_path}/body;
          proxy_temp_path {tmp_path}/proxy;
          fastcgi_temp_path {tmp_path}/fastcgi;
          uwsgi_temp_path {tmp_path}/uwsgi;
          scgi_temp_path {tmp_path}/scgi;
          map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{
              proxy_pass {release.url};
              proxy_http_version 1.1;
              proxy_set_header Host $host:$server_port;
              proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Connection $connection_upgrade;
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
              proxy_set_header X-Forwarded-Proto $scheme;
              proxy_read_timeout 1h;
            }}
          }}
        }}
        """
    )
    process = subprocess.Popen((program, "-c", str(config), "-e", "stderr"))
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            httpx.get(f"{url}/docs", timeout=5)
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


async def test_a_client_comes_in_through_a_proxy(
    release: Release, proxied: str, say: Say
) -> None:
    """Sign-in, HTTP, a socket, a push, and a role edit on the open socket."""
    token = await asyncio.to_thread(release.token, "editor")
    before = role_map(release)["editor"]
    async with (
        httpx.AsyncClient(base_url=proxied, headers=bearer(token)) as client,
        socket(proxied, token, Origin=proxied) as ws,
    ):
        assert "editor" == (await client.get("/me")).json()["username"]
        reply = await ask(ws, PkgID.ME)
        assert RSPCode.OK == reply["status_code"]
        made = await client.post("/authors", json={"name": "By the proxy"})
        assert httpx.codes.CREATED == made.status_code
        told = await pushed(ws, PkgID.AUTHORS_CHANGED)
        assert made.json()["id"] in told["data"].values()
        began = time.monotonic()
        await asyncio.to_thread(edit, release, editor=EDITED)
        await pushed(ws, PkgID.PERMISSIONS_CHANGED)
        spent = time.monotonic() - began
        reply = await ask(ws, PkgID.CREATE_AUTHOR, {"name": "No more"})
        assert RSPCode.PERMISSION_DENIED == reply["status_code"]
        denied = await client.post("/authors", json={"name": "No more"})
        assert httpx.codes.FORBIDDEN == denied.status_code
        edit(release, editor=before)
        await pushed(ws, PkgID.PERMISSIONS_CHANGED)
    assert spent < IN_FORCE_SECONDS
    say(
        f"a role edit on an open socket, kubectl's own time too: {spent:.2f} s"
    )


async def test_a_client_of_keycloak_is_made_and_kept(
    release: Release, say: Say
) -> None:
    """Its Secret gets a token, and what somebody changes is put right."""
    kubectl = release.kubectl
    kubectl.apply(
        {
            "apiVersion": "gatehouse.dev/v1alpha1",
            "kind": "KeycloakClient",
            "metadata": {"name": "robot"},
            "spec": {
                "realmRef": NAME,
                "clientId": "robot",
                "type": "confidential",
                "flows": {"serviceAccount": True, "standard": False},
                "serviceAccountRoles": {"realm": ["reader"]},
                "audiences": [NAME],
                "redirectUris": [],
                "secret": {"name": "robot-oidc"},
            },
        }
    )
    kubectl("wait", "--for=condition=Ready", "kc/robot", "--timeout=60s")
    held = release.secret("robot-oidc")
    with release.keycloak() as keycloak:
        token = client_token(
            keycloak, NAME, held["client-id"], held["client-secret"]
        )
        assert httpx.codes.OK == status_of(f"{release.url}/authors", token)
        admin = release.administrator(keycloak)
        spoil(keycloak, admin)
        began = time.monotonic()

        async def is_right() -> bool:
            return bool(robot_of(keycloak, admin)["redirectUris"] == [])

        await until(is_right, DRIFT_SECONDS)
    say(f"drift put right after {since(began):.1f} s")

    async def is_told() -> bool:
        described = kubectl("describe", "kc/robot")
        return "DriftCorrected" in described and "redirectUris" in described

    await until(is_told, DRIFT_SECONDS)


CLIENTS: Final = f"/admin/realms/{NAME}/clients"


def robot_of(keycloak: httpx.Client, admin: dict[str, str]) -> dict[str, Any]:
    """The client `robot`, as Keycloak has it."""
    found = keycloak.get(
        CLIENTS, params={"clientId": "robot"}, headers=admin
    ).json()
    return dict(found[0])


def spoil(keycloak: httpx.Client, admin: dict[str, str]) -> None:
    """Change what the operator keeps."""
    robot = robot_of(keycloak, admin)
    keycloak.put(
        f"{CLIENTS}/{robot['id']}",
        json={**robot, "redirectUris": ["https://thief.example/*"]},
        headers=admin,
    ).raise_for_status()


async def database(release: Release, name: str) -> str:
    """The URL of a database of the release, for its owner."""
    held = release.secret(f"{NAME}-postgres-secret")
    host = release.address(f"{NAME}-postgres")
    return (
        f"postgresql://gatehouse_owner:{held['owner-password']}@{host}/{name}"
    )


async def test_nothing_is_lost_whatever_is_deleted(
    release: Release, say: Say
) -> None:
    """A rollout, and every kind of pod, while clients of both kinds work."""
    kubectl = release.kubectl
    seed = secrets.randbelow(10**6)
    stage = Stage(
        [release.url], lambda: release.token("editor"), secrets.token_hex(4)
    )
    answers: Counter[int] = Counter()
    # For long enough: nobody can sign in while Keycloak is away.
    await asyncio.to_thread(release.sign_in, "editor")

    async def faults() -> None:
        over = asyncio.Event()
        probe = asyncio.create_task(probed(release, answers, over))
        await asyncio.to_thread(restarted, kubectl, f"deployment/{NAME}")
        over.set()
        await probe
        pod = pods(kubectl)[0]["metadata"]["name"]
        await asyncio.to_thread(
            kubectl, "delete", "pod", pod, "--force", "--grace-period=0"
        )
        await asyncio.to_thread(rolled_out, kubectl, f"deployment/{NAME}")
        for server in ("postgres", "redis", "keycloak"):
            await asyncio.to_thread(
                kubectl, "delete", "pod", f"{NAME}-{server}-0"
            )
            await asyncio.to_thread(
                rolled_out, kubectl, f"statefulset/{NAME}-{server}"
            )

    began = time.monotonic()
    crowd = Crowd(receivers=24, life_seconds=None)
    await run(stage, seed, crowd, faults())
    url = await database(release, "gatehouse")
    findings = reckon(stage.journal, await read_tables(url, stage.prefix))
    say(f"seed {seed}, {since(began):.0f} s")
    say(summary(stage.journal))
    say(f"during the rollout: {dict(answers)}")
    assert [] == findings
    assert not [status for status in answers if status >= 500]
    assert {1012} & codes(stage.journal)
    spread = await asyncio.to_thread(sockets_by_pod, kubectl)
    assert 3 == len(spread)


async def probed(
    release: Release, answers: Counter[int], over: asyncio.Event
) -> None:
    """Read again and again, and count the answers."""
    token = await asyncio.to_thread(release.token, "reader")
    url = release.url

    async def one() -> None:
        async with httpx.AsyncClient(
            base_url=url, headers=bearer(token), timeout=30
        ) as client:
            while not over.is_set():
                try:
                    found = await client.get("/authors", params={"limit": 1})
                except httpx.TransportError:
                    continue  # a connection that was closed between requests
                answers[found.status_code] += 1

    await asyncio.gather(*(one() for _ in range(4)))


def restarted(kubectl: Kubectl, name: str) -> None:
    """Restart a Deployment, and wait until that is done."""
    kubectl("rollout", "restart", name)
    rolled_out(kubectl, name)


def rolled_out(kubectl: Kubectl, name: str) -> None:
    """Wait until all pods are ready."""
    kubectl("rollout", "status", name, "--timeout=300s")


def codes(journal: Journal) -> set[int | str]:
    """With which codes sockets were closed."""
    return {code for one in journal.receivers for code in one.closed}


def sockets_by_pod(kubectl: Kubectl) -> dict[str, float]:
    """How many sockets each pod has had since it started."""
    found = {}
    for pod in pods(kubectl):
        address = pod["status"]["podIP"]
        text = httpx.get(f"http://{address}:9000/metrics").text
        pattern = r'^ws_connections_total\{status="accepted"\} (\S+)'
        match = re.search(pattern, text, re.MULTILINE)
        if match and float(match[1]):
            found[pod["metadata"]["name"]] = float(match[1])
    return found


@pytest.fixture
def monitored(release: Release) -> None:
    """A Prometheus in the cluster that takes up what the chart gives it."""
    if MONITORING.exists():
        subprocess.run((str(MONITORING),), check=True, capture_output=True)
        subprocess.run((str(OTHERS), "exporters"), check=True)
    elif "servicemonitors" not in release.kubectl("api-resources"):
        pytest.skip("no Prometheus Operator in the cluster")


@pytest.mark.usefixtures("monitored")
async def test_every_panel_and_rule_finds_its_metrics(
    release: Release, say: Say
) -> None:
    """Prometheus has scraped the release by the chart's own monitors."""
    on = {"enabled": True}
    monitoring = {
        "serviceMonitors": {"enabled": True, "interval": "5s"},
        "rules": on,
        "dashboards": on,
    }
    limited = {"settings": {"WS_MESSAGE_RATE_LIMIT": 10}}
    values = {
        "monitoring": monitoring,
        "app": limited,
        "postgres": {"metrics": on},
        "redis": {"metrics": on},
    }
    await asyncio.to_thread(release.upgrade, values)
    namespace = release.kubectl.namespace
    left = expressions(release)
    left += [f'{up}{{namespace="{namespace}"}} == 1' for up in EXPORTED]
    count = len(left)
    deadline = time.monotonic() + SCRAPED_SECONDS
    over = asyncio.Event()
    # On a busy machine its pod may be away from its Service for a while.
    patient = httpx.AsyncHTTPTransport(retries=8)
    async with (
        httpx.AsyncClient(
            base_url=PROMETHEUS, transport=patient, timeout=SECONDS
        ) as prometheus,
        asyncio.TaskGroup() as load,
    ):
        load.create_task(worked(release, over))
        while left and time.monotonic() < deadline:
            await asyncio.sleep(5)
            left = [one for one in left if not await data(prometheus, one)]
        over.set()
        assert [] == left
        targets = await answer(prometheus, "/targets?state=active")
        rules = await answer(prometheus, "/rules")
    health = {
        target["labels"]["pod"]: target["health"]
        for target in targets["activeTargets"]
        if target["labels"].get("namespace") == namespace
    }
    assert {"up"} == set(health.values())
    assert len(health) >= 3 + 2 + 1 + 1 + len(EXPORTED)
    loaded = {
        rule["name"]: rule["health"]
        for group in rules["groups"]
        if f'namespace="{namespace}"' in json.dumps(group).replace('\\"', '"')
        for rule in group["rules"]
    }
    asked = {
        rule["alert"]
        for group in release.kubectl.json("get", "prometheusrule", NAME)[
            "spec"
        ]["groups"]
        for rule in group["rules"]
    }
    assert asked == loaded.keys()
    assert {"ok"} == set(loaded.values())
    say(f"{count} expressions have data, {len(asked)} alerts are loaded")


async def worked(release: Release, over: asyncio.Event) -> None:
    """Do a little of everything, until it is over."""
    token = await asyncio.to_thread(release.token, "editor")
    url = release.url
    headers = bearer(token)
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        while not over.is_set():
            async with socket(url, token) as ws:
                made = await client.post("/authors", json={"name": "Watched"})
                await pushed(ws, PkgID.AUTHORS_CHANGED)
                await ask(ws, PkgID.GET_AUTHORS)
                await client.get("/nowhere")
                await client.delete(f"/authors/{made.json()['id']}")
            await client.post(
                "/auth/login", json={"username": "editor", "password": "wrong"}
            )
            await asyncio.to_thread(
                release.kubectl,
                *("patch", "kc/robot", "--type=merge"),
                f'--patch={{"spec": {{"roles": ["{secrets.token_hex(2)}"]}}}}',
            )
            await asyncio.to_thread(make_drift, release)
            await asyncio.sleep(1)


def make_drift(release: Release) -> None:
    """Have something to put right."""
    with release.keycloak() as keycloak:
        spoil(keycloak, release.administrator(keycloak))


def expressions(release: Release) -> list[str]:
    """The expression of every panel, for this release."""
    found = []
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"]
                for name, value in (
                    ("$namespace", release.kubectl.namespace),
                    ("$pod", ".*"),
                    ("$__rate_interval", "1m"),
                ):
                    text = text.replace(name, value)
                found.append(text)
    return found


async def data(prometheus: httpx.AsyncClient, expression: str) -> bool:
    """Say whether an expression returns anything."""
    found = await prometheus.get("/query", params={"query": expression})
    said = found.json()
    assert "success" == said["status"], (expression, said)
    return bool(said["data"]["result"])


async def answer(prometheus: httpx.AsyncClient, path: str) -> Any:
    """What Prometheus says of itself."""
    return (await prometheus.get(path)).raise_for_status().json()["data"]


async def test_the_pod_with_the_fewest_sockets_goes_first(
    release: Release,
) -> None:
    """When there are to be fewer; the sockets of the others stay open."""
    kubectl = release.kubectl
    # Nobody tells the autoscaler of any load, so it changes nothing.
    scaled = {"mode": "hpa", "minReplicas": 2, "maxReplicas": 3}
    values = {"autoscaling": scaled, "app": {"settings": SETTINGS}}
    await asyncio.to_thread(release.upgrade, values)
    lonely, *busy = sorted(pods(kubectl), key=started)
    token = await asyncio.to_thread(release.token, "editor")
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                socket(f"http://{pod['status']['podIP']}:8000", token)
            )
            for pod in busy
            for _ in range(8)
        ]

        async def is_known() -> bool:
            found = await asyncio.to_thread(pods, kubectl)
            return [8, 8] == [cost(p) for p in sorted(found, key=started)][1:]

        await until(is_known, SECONDS * 2)
        kubectl("scale", f"deployment/{NAME}", "--replicas=2")
        gone = f"pod/{lonely['metadata']['name']}"
        await asyncio.to_thread(
            kubectl, "wait", "--for=delete", gone, "--timeout=60s"
        )
        assert {p["metadata"]["name"] for p in pods(kubectl)} == {
            p["metadata"]["name"] for p in busy
        }
        answers = [await ask(one, PkgID.ME) for one in sockets]
    assert {RSPCode.OK} == {answer["status_code"] for answer in answers}
    # As an autoscaler does, whose number neither an upgrade nor going back
    # may change.
    await asyncio.to_thread(release.upgrade, {"app": {"docsEnabled": False}})
    assert 2 == replicas(kubectl)
    await asyncio.to_thread(release.upgrade, {"app": {"docsEnabled": True}})
    kubectl("scale", f"deployment/{NAME}", "--replicas=3")
    back = ("rollback", NAME, "--wait", "--timeout", "5m")
    await asyncio.to_thread(release.helm, *back)
    assert 3 == replicas(kubectl)


def replicas(kubectl: Kubectl) -> int:
    """How many pods of the service there are to be."""
    return int(kubectl.json("get", f"deployment/{NAME}")["spec"]["replicas"])


def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    """The pods of the service, but those that are ending."""
    found = kubectl.json("get", "pod", "-l", "app.kubernetes.io/component=app")
    return [
        pod
        for pod in found["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]


def started(pod: dict[str, Any]) -> str:
    """Since when a pod is ready: of pods that cost the same, the last goes."""
    return next(
        str(condition["lastTransitionTime"])
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready"
    )


def cost(pod: dict[str, Any]) -> int:
    """What a pod is said to cost."""
    annotations = pod["metadata"].get("annotations", {})
    return int(annotations.get(DELETION_COST, 0))


def passwords(release: Release) -> dict[str, Any]:
    """What all Secrets hold, but Helm's own records."""
    return {
        one["metadata"]["name"]: one["data"]
        for one in release.kubectl.json("get", "secrets")["items"]
        if not one["type"].startswith("helm.sh/")
    }


def volumes(release: Release) -> set[str]:
    """The volumes of the release."""
    claims = release.kubectl.json("get", "pvc")["items"]
    return {claim["spec"]["volumeName"] for claim in claims}


def test_an_upgrade_keeps_edits_passwords_and_volumes(
    release: Release,
) -> None:
    """By both versions of Helm, and so does going back."""
    edit(release, reader=EDITED)
    before = passwords(release), volumes(release)
    for program, value in (("helm3", False), ("helm", True)):
        release.upgrade({"app": {"docsEnabled": value}}, program)
        assert EDITED == role_map(release)["reader"]
        assert before == (passwords(release), volumes(release))
    for program, shown in (("helm", "false"), ("helm3", "true")):
        back = ("rollback", NAME, "--wait", "--timeout", "5m")
        release.helm(*back, program=program)
        found = release.kubectl.json("get", "configmap", f"{NAME}-settings")
        assert shown == found["data"]["DOCS_ENABLED"]
        assert EDITED == role_map(release)["reader"]
        assert before == (passwords(release), volumes(release))
    token = release.token("reader")
    assert httpx.codes.OK == status_of(f"{release.url}/me", token)


def test_who_only_renders_the_chart_gets_passwords_too(
    release: Release, say: Say
) -> None:
    """A Job makes them once, and a second rendering changes none."""
    kubectl = Kubectl(f"{release.kubectl.namespace}-job")
    kubectl("create", "namespace", kubectl.namespace)
    restricted(kubectl)
    options = (
        *("--set", "secrets.mode=job", "--set", "app.replicas=1"),
        *("--set", "operators.rbac.replicas=1", "--no-hooks"),
    )
    other = Release(kubectl, release.folder, {})
    try:
        began = time.monotonic()
        rendered = other.helm("template", NAME, str(CHART), *options)
        kubectl("apply", "--filename", "-", stdin=rendered)
        rolled_out(kubectl, f"deployment/{NAME}")
        say(f"rendered and applied: ready after {since(began):.0f} s")
        before = passwords(other)
        assert len(before) >= 9
        kubectl("delete", "secret", f"{NAME}-service-secret")
        kubectl("delete", "job", "--all")
        kubectl("apply", "--filename", "-", stdin=rendered)
        kubectl(
            *("wait", "--for=create", f"secret/{NAME}-service-secret"),
            "--timeout=60s",
        )
        assert before == passwords(other)
    finally:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def since(began: float) -> float:
    """How long something has taken, in seconds."""
    return time.monotonic() - began


ODD: Final = "p@ss/w%rd:'\" x"
"""A password with every character that is special to somebody."""


def test_servers_may_be_somebody_elses(
    release: Release, tmp_path: Path, say: Say
) -> None:
    """With passwords that nobody could have quoted wrongly."""
    kubectl = Kubectl(f"{release.kubectl.namespace}-other")
    kubectl("create", "namespace", kubectl.namespace)
    restricted(kubectl)
    try:
        other = external(release, kubectl, tmp_path)
        say(f"external servers: ready after {other.install():.0f} s")
        said = other.helm("test", NAME, "--logs", "--timeout", "3m")
        for line in ("HTTP: read", "socket: answered", "role map: in"):
            assert line in said
        other.helm("uninstall", NAME, "--wait")
    finally:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def external(release: Release, kubectl: Kubectl, folder: Path) -> Release:
    """Servers with odd passwords, and values that name them."""
    for name, port, image, environment, command in (
        (
            "postgres",
            5432,
            "docker.io/library/postgres:18",
            {"POSTGRES_USER": "owner", "POSTGRES_PASSWORD": ODD},
            None,
        ),
        (
            "redis",
            6379,
            "docker.io/valkey/valkey:9",
            {},
            ["valkey-server", "--requirepass", ODD],
        ),
    ):
        for document in a_server(name, port, image, environment, command):
            kubectl.apply(document)
    kubectl(
        *("wait", "--for=condition=Ready", "pod/postgres", "pod/redis"),
        "--timeout=120s",
    )
    authority = release.secret(f"{NAME}-keycloak-tls-secret")["ca.crt"]
    with release.keycloak() as keycloak:
        admin = release.administrator(keycloak)
        odd_administrator(keycloak, admin)
    for name, held in {
        "service": {
            "db-password": ODD,
            "redis-password": ODD,
            "rbac-signing-key": ODD * 3,
            "keycloak-service-client-secret": ODD,
        },
        "operator-rbac": {"signing-key": ODD * 3, "redis-password": ODD},
        "operator-keycloak": {
            "bootstrap-client-id": "odd",
            "bootstrap-client-secret": ODD,
        },
        "authority": {"ca.crt": authority},
    }.items():
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": held,
            }
        )
    url = f"https://{NAME}-keycloak.{release.kubectl.namespace}.svc:8443"
    values = {
        "app": {"replicas": 1, "settings": SETTINGS},
        "secrets": {
            "mode": "existing",
            "existing": {
                "service": "service",
                "operatorRbac": "operator-rbac",
                "operatorKeycloak": "operator-keycloak",
            },
        },
        "postgres": {
            "mode": "external",
            "external": {
                "host": "postgres",
                "database": "owner",
                "username": "owner",
            },
        },
        "redis": {"mode": "external", "external": {"host": "redis"}},
        "keycloak": {
            "mode": "external",
            "external": {"url": url, "ca": {"secret": "authority"}},
            "realm": {"name": "other"},
        },
    }
    return Release(kubectl, folder, values)


def a_server(
    name: str,
    port: int,
    image: str,
    environment: dict[str, str],
    command: list[str] | None,
) -> Iterator[dict[str, Any]]:
    """A server that keeps nothing, and its address."""
    labels = {"server": name}
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": k, "value": v} for k, v in environment.items()],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 2},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "run", "mountPath": "/var/run/postgresql"}],
    }
    if command is not None:
        container["command"] = command
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "run", "emptyDir": {}}],
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": port}]},
    }


def odd_administrator(keycloak: httpx.Client, admin: dict[str, str]) -> None:
    """Make a client in `master` that may do everything, with that secret."""
    path = "/admin/realms/master"
    made = keycloak.post(
        f"{path}/clients",
        json={
            "clientId": "odd",
            "secret": ODD,
            "publicClient": False,
            "serviceAccountsEnabled": True,
        },
        headers=admin,
    )
    made.raise_for_status()
    user = keycloak.get(
        f"{made.headers['Location']}/service-account-user", headers=admin
    ).json()["id"]
    role = keycloak.get(f"{path}/roles/admin", headers=admin).json()
    keycloak.post(
        f"{path}/users/{user}/role-mappings/realm", json=[role], headers=admin
    ).raise_for_status()


KEPT: Final = {
    f"secret/{NAME}-seed",
    f"secret/{NAME}-keycloak-tls-secret",
    f"secret/{NAME}-operator-account",
    f"configmap/{NAME}-roles",
    "configmap/kube-root-ca.crt",
    f"persistentvolumeclaim/data-{NAME}-postgres-0",
    f"persistentvolumeclaim/data-{NAME}-redis-0",
    "serviceaccount/default",
}
"""What an uninstallation leaves: data, and what reads it."""


def test_what_is_uninstalled_can_be_installed_again(
    release: Release, say: Say
) -> None:
    """Data, passwords and the role map are kept; nothing else is."""
    kubectl = release.kubectl
    kubectl("delete", "kc/robot")
    password = release.secret(f"{NAME}-demo-secret")["reader"]
    release.helm("uninstall", NAME, "--wait")
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-oname")
    listed = {
        name.replace(".gatehouse.dev", "")
        for name in kubectl(
            *("get", ",".join(k for k in kinds.split() if "event" not in k)),
            *("--output", "name", "--ignore-not-found"),
        ).split()
        if not name.startswith(("pod/", "endpointslice", "endpoints"))
    }
    assert KEPT == listed
    assert "keycloakclients" in kubectl("get", "crds")
    say(f"installed again after {release.install():.0f} s")
    assert password == release.secret(f"{NAME}-demo-secret")["reader"]
    assert EDITED == role_map(release)["reader"]
    token = release.token("reader")
    assert httpx.codes.OK == status_of(f"{release.url}/me", token)
    assert httpx.codes.FORBIDDEN == status_of(f"{release.url}/books", token)
    release.helm("uninstall", NAME, "--wait")
