"""The Makefile has what the texts promise, and fails in one clear line."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.repository import ROOT, markdown_files

TARGETS = {
    "serve", "build", "start", "stop", "shell", "test", "check",
    "ruff-check", "format", "mypy", "interrogate", "typos",
    "dead-code-scan", "bandit-scan", "import-lint", "deptry",
    "bench", "e2e", "manifests", "promtool",
    "skjold-scan", "outdated-pkgs-scan",
    "ws-handlers", "new-ws-handlers", "routes",
    "permissions", "migrate", "migration", "rollback",
    "migration-history", "migration-current", "migration-stamp",
    "soak", "soak-e2e", "images", "nginx", "test-migrations",
    "requirements", "docs", "hooks", "clean",
    "help",
}  # fmt: skip
MENTION = re.compile(r"(?:^|`)make ([a-z][a-z0-9-]*)", re.MULTILINE)
PASSWORD = re.compile(r"^\w+_PASSWORD=(.*)$", re.MULTILINE)


def make(
    *arguments: str, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell of its own, whatever make runs this test."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"}
    }
    return subprocess.run(
        ("make", *arguments),
        cwd=folder,
        env=inherited | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """A folder with what the Makefile reads, where nothing was made yet."""
    for name in ("requirements", "docker"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".env")
        )
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_help_describes_every_target() -> None:
    """`make` alone lists each target with what it does."""
    lines = re.findall(
        r"^  ([a-z0-9-]+) +(\S.*)$", make().stdout, re.MULTILINE
    )
    assert {name for name, _ in lines} == TARGETS


def test_texts_name_targets_that_exist() -> None:
    """A text that says `make X` names a target."""
    texts = [path.read_text(encoding="utf-8") for path in markdown_files()]
    mentioned = {name for text in texts for name in MENTION.findall(text)}
    assert mentioned - TARGETS == set()


@pytest.mark.parametrize("target", ["build", "start", "stop", "shell"])
def test_docker_that_does_not_answer(target: str, bare_clone: Path) -> None:
    """Without a Docker engine a target says so in a line, and fails."""
    nowhere = f"unix://{bare_clone}/nowhere"
    result = make(target, folder=bare_clone, DOCKER_HOST=nowhere)
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert "no Docker engine answers" in result.stderr
    assert not (bare_clone / "docker" / ".env").exists()


def test_python_that_is_too_old(bare_clone: Path) -> None:
    """Without Python 3.11 a target says so in a line, and makes nothing."""
    result = make("typos", "PYTHON=false", folder=bare_clone)
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert "false is not Python 3.11 or newer" in result.stderr
    assert not (bare_clone / ".venv").exists()


def test_passwords_are_made_once(bare_clone: Path) -> None:
    """docker/.env gets random passwords that a second start leaves alone."""
    file = bare_clone / "docker" / ".env"
    make("docker/.env", folder=bare_clone)
    first = file.read_text(encoding="utf-8")
    make("docker/.env", folder=bare_clone)
    passwords = PASSWORD.findall(first)
    assert len(set(passwords)) == len(passwords) > 0
    assert [p for p in passwords if not re.fullmatch("[0-9a-f]{32}", p)] == []
    assert file.read_text(encoding="utf-8") == first
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("failing", ["check", "promtool", "test"])
def test_ci_runs_all_and_fails_with_any(failing: str, tmp_path: Path) -> None:
    """`.ci/run` goes on after a failure, and fails with it."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(
        "check promtool test:\n\t@echo ran $@\n\t@test $@ != " + failing + "\n"
    )
    result = subprocess.run(
        (tmp_path / ".ci" / "run",),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ran = [s for s in result.stdout.splitlines() if s.startswith("ran ")]
    assert ran == ["ran check", "ran promtool", "ran test"]
    assert result.returncode != 0
