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
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.dev.config import ROOT
from gatehouse_operator.crds import KINDS, definition
from gatehouse_operator.manifests import role_map_manifests
from tests.fixtures.servers import Servers
from tests.fixtures.sweeper import MARK

KEY = "k" * 32
RELEASE = "gatehouse"


Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Shows a figure that somebody asked for, also of a test that passes."""

    def say(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")

    return say


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

    def patch_spec(self, name: str, **spec: Any) -> None:
        """Change fields of a spec."""
        patch = json.dumps({"spec": spec})
        self("patch", name, "--type", "merge", "--patch", patch)


@pytest.fixture(scope="session", autouse=True)
def _definitions() -> None:
    """The custom resource definitions, which all namespaces share."""
    kubectl = Kubectl("default")
    for kind in KINDS:
        kubectl.apply(definition(kind))
    names = [f"crd/{kind.name.lower()}s.gatehouse.dev" for kind in KINDS]
    kubectl("wait", "--for=condition=Established", *names)


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


def account(
    kubectl: Kubectl,
    manifests: Iterable[dict[str, Any]],
    folder: Path,
    server: str = "",
) -> Path:
    """Return what an operator's own account may use, and no more.

    Args:
        kubectl: In its namespace.
        manifests: What it needs.
        folder: For the kubeconfig.
        server: Where it is to find the API server, if not at its address.
    """
    made = [one for one in manifests if one["kind"] != "Deployment"]
    for manifest in made:
        kubectl.apply(manifest)
    config = kubectl.json("config", "view", "--raw", "--minify")
    token = kubectl("create", "token", made[0]["metadata"]["name"]).strip()
    config["users"][0]["user"] = {"token": token}
    if server:
        config["clusters"][0]["cluster"] = {"server": server}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


StartOperator = Callable[..., Awaitable[Process]]


@asynccontextmanager
async def operators(
    module: str, folder: Path, **environment: str
) -> AsyncIterator[StartOperator]:
    """Give a function that starts one more operator.

    Args:
        module: What is run.
        folder: For its log.
        environment: Its settings.
    """
    started: list[Process] = []
    path = folder / "operator.log"
    with path.open("wb") as log:

        async def start(**settings: str) -> Process:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                env={
                    "PATH": os.environ["PATH"],
                    MARK: os.environ[MARK],
                    "PROBE_HOST": "127.0.0.1",
                    "PROBE_PORT": "0",
                    **environment,
                    **settings,
                },
                cwd=ROOT,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
            started.append(process)
            return process

        try:
            yield start
        finally:
            try:
                await asyncio.gather(*map(ended, started))
            finally:
                sys.stdout.write(path.read_text())


async def ended(process: Process) -> None:
    """End an operator, as Kubernetes does; it goes at once."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        await process.wait()


@pytest.fixture
async def start_operator(
    kubectl: Kubectl,
    servers: Servers,
    redis: Redis,  # noqa: ARG001  (without a map)
    tmp_path: Path,
) -> AsyncIterator[StartOperator]:
    """A function that starts one more operator of role maps."""
    made = role_map_manifests(kubectl.namespace, RELEASE, "none")
    async with operators(
        "gatehouse_operator.main_rbac",
        tmp_path,
        KUBECONFIG=str(account(kubectl, made, tmp_path)),
        NAMESPACE=kubectl.namespace,
        RBAC_SIGNING_KEY=KEY,
        REDIS_URL=servers.redis_url,
        DELETE_GRACE_SECONDS="3",
    ) as start:
        yield start


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float
) -> None:
    """Wait until this is so."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
