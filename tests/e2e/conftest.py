"""A namespace of a real cluster, and operators beside it as processes."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.dev.config import ROOT
from gatehouse_operator.manifests import role_map_manifests
from tests.fixtures.servers import Servers
from tests.fixtures.sweeper import MARK

KEY = "k" * 32
RELEASE = "gatehouse"


class Kubectl:
    """`kubectl` in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it, and return what it says.

        Raises:
            CalledProcessError: It has failed.
        """
        ran = subprocess.run(
            ("kubectl", "--namespace", self.namespace, *arguments),
            check=True,
            capture_output=True,
            input=stdin,
            text=True,
        )
        return ran.stdout

    def json(self, *arguments: str) -> Any:
        """Run it, and return what it says in JSON."""
        return json.loads(self(*arguments, "--output", "json"))

    def apply(self, document: dict[str, Any]) -> None:
        """Apply one object."""
        self("apply", "--filename", "-", stdin=json.dumps(document))


@pytest.fixture
def kubectl() -> Iterator[Kubectl]:
    """`kubectl` in a namespace that is gone afterwards."""
    namespace = f"gatehouse-{secrets.token_hex(4)}"
    kubectl = Kubectl(namespace)
    kubectl("create", "namespace", namespace)
    yield kubectl
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """The Redis of service and operator, without a role map."""
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.flushdb()
        yield redis
        await redis.flushdb()


@pytest.fixture
def kubeconfig(kubectl: Kubectl, tmp_path: Path) -> Path:
    """What the operator's own account may use, and no more."""
    manifests = [
        manifest
        for manifest in role_map_manifests(kubectl.namespace, RELEASE, "none")
        if manifest["kind"] != "Deployment"
    ]
    for manifest in manifests:
        kubectl.apply(manifest)
    name = manifests[0]["metadata"]["name"]
    config = kubectl.json("config", "view", "--raw", "--minify")
    token = kubectl("create", "token", name).strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


StartOperator = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start_operator(
    kubectl: Kubectl,
    kubeconfig: Path,
    servers: Servers,
    redis: Redis,  # noqa: ARG001  (without a map)
    tmp_path: Path,
) -> AsyncIterator[StartOperator]:
    """A function that starts one more operator of role maps."""
    started: list[Process] = []
    log = (tmp_path / "operator.log").open("wb")

    async def start(**settings: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gatehouse_operator.main_rbac"),
            env={
                "PATH": os.environ["PATH"],
                "KUBECONFIG": str(kubeconfig),
                MARK: os.environ[MARK],
                "NAMESPACE": kubectl.namespace,
                "RBAC_SIGNING_KEY": KEY,
                "REDIS_URL": servers.redis_url,
                "DELETE_GRACE_SECONDS": "3",
                "PROBE_HOST": "127.0.0.1",
                "PROBE_PORT": "0",
                **settings,
            },
            cwd=ROOT,
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.wait()
    log.close()
    sys.stdout.write((tmp_path / "operator.log").read_text())


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float
) -> None:
    """Wait until this is so."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
