"""The files with which the operator is run without Helm."""

import subprocess
import sys
from typing import Any

import httpx
import yaml

from gatehouse_operator.manifests import role_map_manifests
from gatehouse_operator.probes import Health, rounds_total, served
from tests.docs.repository import ROOT


def one(kind: str) -> dict[str, Any]:
    """The only manifest of this kind."""
    (found,) = [
        manifest
        for manifest in role_map_manifests("somewhere", "mine", "image:1")
        if manifest["kind"] == kind
    ]
    return found


def test_files_are_what_the_operator_prints() -> None:
    """`make manifests` has been run."""
    ran = subprocess.run(
        (sys.executable, "-m", "gatehouse_operator", "manifests"),
        check=True,
        capture_output=True,
        text=True,
    )
    kept = (ROOT / "operator" / "deploy" / "rbac.yaml").read_text("utf-8")
    assert ran.stdout == kept
    assert 4 == len(list(yaml.safe_load_all(kept)))


def test_the_account_may_change_nothing_but_what_is_compiled() -> None:
    """Whoever takes it over can edit no role map."""
    changing = [
        rule
        for rule in one("Role")["rules"]
        if {"update", "patch", "delete", "*"} & set(rule["verbs"])
    ]
    assert [["mine-rbac-compiled"]] == [r["resourceNames"] for r in changing]


def test_the_pod_is_restricted() -> None:
    """It runs where Pod Security asks for `restricted`."""
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert "RuntimeDefault" == pod["securityContext"]["seccompProfile"]["type"]
    assert {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    } == container["securityContext"]


async def test_an_operator_is_ready_when_all_was_well_lately() -> None:
    """It is alive before, and says what it has counted."""
    health = Health(60)
    rounds_total.labels("done").inc()
    async with (
        served(health, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        before = (await client.get("/readyz")).status_code
        health.note()
        after = (await client.get("/readyz")).status_code
        alive = (await client.get("/livez")).status_code
        metrics = (await client.get("/metrics")).text
    assert (503, 200, 200) == (before, after, alive)
    assert 'operator_rounds_total{result="done"}' in metrics
