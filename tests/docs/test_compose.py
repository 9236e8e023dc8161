"""docker/ agrees with the settings, and holds no password."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from compose_pydantic import ComposeSpecification
from pydantic import ValidationError

from app.settings import Settings
from tests.docs.repository import ROOT
from tests.fixtures.promtool import promtool

DOCKER = ROOT / "docker"
COMPOSE = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
VARIABLE = re.compile(r"\$\{(\w+)")


def documented() -> set[str]:
    """The variables that docker/.env.example names."""
    text = (DOCKER / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^(\w+)=", text, flags=re.MULTILINE))


def test_it_is_what_compose_reads() -> None:
    """By the specification; a field that it does not know is an error."""
    document = yaml.safe_load(COMPOSE)
    known = {k: v for k, v in document.items() if not k.startswith("x-")}
    found = ComposeSpecification.model_validate(known)
    assert set(SERVICES) == set(found.services or ())
    known["services"]["app"]["unheard_of"] = "always"
    with pytest.raises(ValidationError):
        ComposeSpecification.model_validate(known)


def test_service_is_given_settings_that_exist() -> None:
    """Every variable of the service's containers is a setting."""
    known = {name.upper() for name in Settings.model_fields}
    given = set(SERVICES["app"]["environment"])
    given |= set(SERVICES["migrate"]["environment"])
    assert given - known == set()


def test_every_variable_is_documented() -> None:
    """What compose.yaml takes from outside is in .env.example, no more."""
    assert documented() == set(VARIABLE.findall(COMPOSE))


def test_no_password_has_a_default() -> None:
    """A missing password stops compose; none is written down."""
    uses = re.findall(r"^ *\w*PASSWORD: *(.*)$", COMPOSE, re.MULTILINE)
    assert [use for use in uses if not re.search(r"\$\{\w+:\?\}", use)] == []


def test_ports_are_published_on_loopback_only() -> None:
    """Nothing in containers can be reached from another machine."""
    ports = [p for s in SERVICES.values() for p in s.get("ports", ())]
    assert [p for p in ports if not p.startswith("127.0.0.1:")] == []


def test_service_waits_for_servers_that_answer() -> None:
    """The service starts after its servers are healthy and migrated."""
    conditions = {
        name: dependency["condition"]
        for service in ("app", "migrate")
        for name, dependency in SERVICES[service]["depends_on"].items()
    }
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "valkey": "service_healthy",
        "keycloak": "service_healthy",
    }
    servers = ("postgres", "valkey", "keycloak", "prometheus", "grafana")
    assert all("healthcheck" in SERVICES[name] for name in servers)


def test_what_is_mounted_is_there() -> None:
    """Every file and folder of this repository that a container is given."""
    mounts = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert mounts
    assert [one for one in mounts if not (DOCKER / one).exists()] == []


def test_prometheus_reads_what_answers() -> None:
    """Each target is a service, and the dashboards' labels are there."""
    path = DOCKER / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs = [job["static_configs"][0] for job in config["scrape_configs"]]
    hosts = {target.split(":")[0] for job in jobs for target in job["targets"]}
    assert hosts == {"app", "keycloak"}
    assert all(job["labels"].keys() == {"namespace", "pod"} for job in jobs)
    program = promtool()
    if program is not None:
        checked = subprocess.run(
            (program, "check", "config", str(path)), check=False
        )
        assert checked.returncode == 0
