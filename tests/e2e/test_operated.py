"""A release whose PostgreSQL is run by CloudNativePG."""

import asyncio
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

import asyncpg
import pytest

from app.dev.config import ROOT
from tests.e2e.conftest import Kubectl, Say
from tests.e2e.release import NAME, SETTINGS, Release, restricted
from tests.soak.reckon import reckon
from tests.soak.run import Crowd, read_tables, run, summary
from tests.soak.stage import Stage

pytestmark = pytest.mark.timeout(900)

OTHERS: Final = ROOT / "tests" / "e2e" / "others"
CLUSTER: Final = f"clusters.postgresql.cnpg.io/{NAME}-postgres"
INSTANCES: Final = 2
CHANGED_SECONDS: Final = 120.0


@pytest.fixture(scope="module")
def _operator() -> None:
    """CloudNativePG in the cluster."""
    if shutil.which("go") and (ROOT.parent / "shared/kube/load").exists():
        subprocess.run((str(OTHERS), "cloudnative-pg"), check=True)
    elif "cnpg.io" not in Kubectl("default")("api-resources"):
        pytest.skip("no CloudNativePG in the cluster, and no way to build it")


@pytest.fixture(scope="module")
def release(
    _operator: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """A release in a namespace of its own, which takes only `restricted`."""
    kubectl = Kubectl(f"gatehouse-{secrets.token_hex(4)}")
    kubectl("create", "namespace", kubectl.namespace)
    restricted(kubectl)
    spec = {"imageName": "ghcr.io/cloudnative-pg/postgresql:15"}
    yield Release(
        kubectl,
        tmp_path_factory.mktemp("values"),
        {
            "app": {
                "loginEnabled": True,
                "service": {"type": "NodePort"},
                "settings": SETTINGS,
            },
            "keycloak": {"realm": {"demo": {"enabled": True}}},
            "admission": {"enabled": False},
            "postgres": {
                "mode": "operator",
                "operator": {"instances": INSTANCES, "spec": spec},
            },
        },
    )
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def test_cloudnative_pg_runs_its_servers(release: Release, say: Say) -> None:
    """And everything works over TLS, with users that it has made."""
    say(f"with CloudNativePG: ready after {release.install():.0f} s")
    said = release.helm("test", NAME, "--logs", "--timeout", "3m")
    for line in ("HTTP: read and wrote", "socket: answered", "role map: in"):
        assert line in said


def owner_url(release: Release) -> str:
    """The URL of the service's database, for its owner."""
    held = release.secret(f"{NAME}-postgres-app")
    host = release.address(f"{NAME}-postgres-rw")
    return (
        f"postgresql://{held['username']}:{held['password']}@{host}/gatehouse"
    )


async def test_the_service_may_not_change_the_schema(
    release: Release,
) -> None:
    """It reads and writes as somebody who owns nothing."""
    held = release.secret(f"{NAME}-service-secret")
    connection = await asyncpg.connect(
        host=release.address(f"{NAME}-postgres-rw"),
        user="gatehouse",
        password=held["db-password"],
        database="gatehouse",
        ssl="require",
    )
    try:
        assert 0 <= await connection.fetchval("SELECT count(*) FROM author")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine ()")
    finally:
        await connection.close()


async def test_nothing_is_lost_when_the_primary_is(
    release: Release, say: Say
) -> None:
    """Another takes its place, with every acknowledged write."""
    stage = Stage(
        [release.url], lambda: release.token("editor"), secrets.token_hex(4)
    )
    await asyncio.to_thread(release.sign_in, "editor")
    changes: list[float] = []

    async def faults() -> None:
        await asyncio.sleep(5)
        changes.append(await asyncio.to_thread(primary_changed, release))
        await asyncio.sleep(5)

    seed = secrets.randbelow(10**6)
    crowd = Crowd(receivers=8, life_seconds=None)
    await run(stage, seed, crowd, faults())
    tables = await read_tables(owner_url(release), stage.prefix)
    findings = reckon(stage.journal, tables)
    say(f"seed {seed}, another primary after {changes[0]:.0f} s")
    say(summary(stage.journal))
    assert [] == findings


def primary_changed(release: Release) -> float:
    """Kill the primary, and return after how long another has its place."""
    kubectl = release.kubectl
    killed = primary(kubectl)
    began = time.monotonic()
    kubectl("delete", "pod", killed, "--force", "--grace-period=0")
    while primary(kubectl) == killed:
        assert time.monotonic() < began + CHANGED_SECONDS
        time.sleep(0.5)
    took = time.monotonic() - began
    wait = f"--for=jsonpath={{.status.readyInstances}}={INSTANCES}"
    kubectl("wait", wait, CLUSTER, f"--timeout={CHANGED_SECONDS:.0f}s")
    return took


def primary(kubectl: Kubectl) -> str:
    """The pod that writes go to."""
    status: dict[str, Any] = kubectl.json("get", CLUSTER)["status"]
    return str(status["currentPrimary"])


def test_its_data_outlives_the_release(release: Release) -> None:
    """The cluster stays, whose volumes would go with it."""
    release.helm("uninstall", NAME, "--wait")
    assert (
        INSTANCES
        == (release.kubectl.json("get", CLUSTER)["status"]["readyInstances"])
    )
