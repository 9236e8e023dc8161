"""requirements/*.txt lock what pyproject.toml asks for."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.docs.repository import ROOT

PIN = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OPERATOR = tomllib.loads(
    (ROOT / "operator" / "pyproject.toml").read_text("utf-8")
)


def text_of(lock: str) -> str:
    """The text of one lock."""
    return (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")


def pins(lock: str) -> dict[str, set[Version]]:
    """The versions that a lock pins; markers may tell several apart."""
    found: dict[str, set[Version]] = {}
    for name, version in PIN.findall(text_of(lock)):
        key = canonicalize_name(name)
        found.setdefault(key, set()).add(Version(version))
    return found


def group(name: str) -> list[Requirement]:
    """What a dependency group asks for, with the groups that it includes."""
    members: list[Requirement] = []
    for item in PROJECT["dependency-groups"][name]:
        match item:
            case {"include-group": other}:
                members += group(other)
            case str():
                members.append(Requirement(item))
    return members


def asked(lock: str) -> list[Requirement]:
    """What a lock must hold."""
    project: dict[str, Any] = PROJECT["project"]
    extras = project["optional-dependencies"]
    service = [
        Requirement(item)
        for extra in ("service", "otel")
        for item in (*project["dependencies"], *extras[extra])
    ]
    operator = [
        Requirement(item)
        for item in OPERATOR["project"]["dependencies"]
        if item != project["name"]
    ]
    return {
        "build": group("build"),
        "operator": operator,
        "service": service,
        "dev": [*service, *operator, *group("dev")],
    }[lock]


LOCKS = ("build", "operator", "service", "dev")


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_is_asked_for(lock: str) -> None:
    """Each direct dependency is pinned, to a version it allows."""
    pinned = pins(lock)
    wrong = [
        str(requirement)
        for requirement in asked(lock)
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in pinned.get(canonicalize_name(requirement.name), ())
        )
    ]
    assert wrong == [], "run `make requirements`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    """A changed artefact is never installed: each pin carries hashes."""
    starts = re.compile(r"^(?=[\w.-]+(?:\[|==))", re.MULTILINE)
    blocks = starts.split(text_of(lock))
    bare = [block for block in blocks if block and "--hash=" not in block]
    assert bare == []


def test_locks_agree() -> None:
    """What is tested is what is shipped: the locks pin equal versions."""
    dev = pins("dev")
    others = pins("service") | pins("operator") | pins("build")
    different = {n: v for n, v in others.items() if dev.get(n) != v}
    assert different == {}


def test_the_operator_has_no_web_framework() -> None:
    """What the operator needs of the service needs only pydantic."""
    assert (
        pins("operator").keys() & {"fastapi", "sqlalchemy", "asyncpg"} == set()
    )


def test_uv_comes_from_the_lock() -> None:
    """The lock pins uv, with which `make` installs the rest."""
    assert "uv" in pins("dev")
