"""The files with which the operator is run without Helm."""

import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
import yaml

from gatehouse_operator.admission import admission_manifests
from gatehouse_operator.manifests import (
    keycloak_manifests,
    role_map_manifests,
)
from gatehouse_operator.probes import Health, rounds_total, served
from tests.docs.repository import ROOT

MAKERS = {"rbac": role_map_manifests, "keycloak": keycloak_manifests}


def one(part: str, kind: str) -> dict[str, Any]:
    """The only manifest of this kind."""
    (found,) = [
        manifest
        for manifest in MAKERS[part]("somewhere", "mine", "image:1")
        if manifest["kind"] == kind
    ]
    return found


@pytest.mark.parametrize(
    ("part", "count"),
    [("admission", 8), ("crds", 3), ("keycloak", 4), ("rbac", 4)],
)
def test_files_are_what_the_operator_prints(part: str, count: int) -> None:
    """`make manifests` has been run."""
    ran = subprocess.run(
        (sys.executable, "-m", "gatehouse_operator", "manifests", part),
        check=True,
        capture_output=True,
        text=True,
    )
    kept = (ROOT / "operator" / "deploy" / f"{part}.yaml").read_text("utf-8")
    assert ran.stdout == kept
    assert count == len(list(yaml.safe_load_all(kept)))


def test_who_reads_no_further_is_told_nothing() -> None:
    """As `head` does: that is no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        (sys.executable, "-m", "gatehouse_operator", "manifests", "crds"),
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_the_catalogue_is_that_of_this_version() -> None:
    """`make manifests` has been run since a route was added."""
    ran = subprocess.run(
        (sys.executable, "-m", "app", "permissions", "catalogue"),
        check=True,
        capture_output=True,
        text=True,
    )
    path = ROOT / "operator" / "permissions.json"
    assert ran.stdout == path.read_text("utf-8")


def test_whoever_edits_a_map_can_read_which_permissions_there_are() -> None:
    """The catalogue's ConfigMap has what the policy has, line by line."""
    lines = ["http * /x", "http GET /x", "ws ME"]
    made = list(admission_manifests("somewhere", "mine", lines))
    (catalogue,) = (one for one in made if one["kind"] == "ConfigMap")
    assert {
        "http.any": "http * /x\n",
        "http.GET": "http GET /x\n",
        "ws": "ws ME\n",
    } == catalogue["data"]


def test_an_account_may_change_no_role_map() -> None:
    """Nothing but what is compiled, and that by one of the two."""
    changing = [
        rule["resourceNames"]
        for part in MAKERS
        for rule in one(part, "Role")["rules"]
        if "configmaps" in rule["resources"]
        and {"update", "patch", "delete", "*"} & set(rule["verbs"])
    ]
    assert [["mine-rbac-compiled"]] == changing


@pytest.mark.parametrize("part", MAKERS)
def test_the_pod_is_restricted(part: str) -> None:
    """It runs where Pod Security asks for `restricted`."""
    pod = one(part, "Deployment")["spec"]["template"]["spec"]
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


async def test_an_operator_that_goes_round_no_more_is_not_alive() -> None:
    """It answers, but has tried nothing for too long."""
    stuck = Health(60, stuck_seconds=0)
    async with (
        served(stuck, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        stuck.beat()
        status = (await client.get("/livez")).status_code
    assert 503 == status
