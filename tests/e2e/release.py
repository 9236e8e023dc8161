"""A release of the chart on the cluster, and what its clients need."""

import base64
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from app.dev.config import ROOT
from tests.e2e.conftest import Kubectl
from tests.fixtures.ledger import LEDGER

CHART: Final = ROOT / "charts" / "gatehouse"
NAME: Final = "gatehouse"
WAIT: Final = "6m"
"""The longest that a release may take until it is ready."""
_TOKEN_SECONDS: Final = 240.0
SETTINGS: Final = {
    "RATE_LIMIT_PER_MINUTE": 65_000,
    "RATE_LIMIT_BURST": 65_000,
    "WS_MAX_CONNECTIONS_PER_USER": 5000,
    "WS_MESSAGE_RATE_LIMIT": 65_000,
}
"""Limits that no test reaches by chance."""

Values = dict[str, Any]


def restricted(kubectl: Kubectl) -> None:
    """Have the namespace take nothing that is not `restricted`."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", kubectl.namespace, label)


@dataclass
class Release:
    """One release, in its namespace.

    Args:
        kubectl: In its namespace.
        folder: For files of values.
        values: What it was told.
    """

    kubectl: Kubectl
    folder: Path
    values: Values
    _tokens: dict[str, tuple[float, str]] = field(default_factory=dict)

    def helm(self, *arguments: str, program: str = "helm") -> str:
        """Run Helm, and return what it says.

        Raises:
            CalledProcessError: It has failed.
        """
        ran = subprocess.run(
            (program, "--namespace", self.kubectl.namespace, *arguments),
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            described = self.kubectl("get", "pods,events")
            raise AssertionError(f"{described}\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def install(self) -> float:
        """Install it, and return how long it took to be ready, in seconds."""
        began = time.monotonic()
        self._apply("install", "helm")
        return time.monotonic() - began

    def upgrade(self, values: Values, program: str = "helm") -> None:
        """Give it other values, by one Helm or the other."""
        self.values = _merged(self.values, values)
        self._apply("upgrade", program)

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret holds."""
        found = self.kubectl.json("get", "secret", name)["data"]
        plain = {k: base64.b64decode(v).decode() for k, v in found.items()}
        for key, value in plain.items():
            if "password" in key or "secret" in key:
                LEDGER.keep(key, value)
        return plain

    def address(self, service: str) -> str:
        """The address of a Service, which this machine reaches, too."""
        found = self.kubectl.json("get", "service", service)
        return str(found["spec"]["clusterIP"])

    @property
    def url(self) -> str:
        """Where clients come in: the port of the node."""
        ports = self.kubectl.json("get", "service", NAME)["spec"]["ports"]
        return f"http://127.0.0.1:{ports[0]['nodePort']}"

    def sign_in(self, user: str) -> None:
        """Have a new token of a demo user."""
        self._tokens.pop(user, None)
        self.token(user)

    def token(self, user: str) -> str:
        """A token of a demo user, which is good for a while."""
        until, token = self._tokens.get(user, (0.0, ""))
        if time.monotonic() > until:
            password = self.secret(f"{NAME}-demo-secret")[user]
            LEDGER.keep("password", password)
            answer = httpx.post(
                f"{self.url}/auth/login",
                json={"username": user, "password": password},
                timeout=30,
            )
            token = str(answer.raise_for_status().json()["access_token"])
            LEDGER.keep("token", token)
            self._tokens[user] = time.monotonic() + _TOKEN_SECONDS, token
        return token

    @contextmanager
    def keycloak(self) -> Iterator[httpx.Client]:
        """A client of its Keycloak, over the certificate of the release."""
        with forwarded(self.kubectl, f"service/{NAME}-keycloak", 8443) as port:
            authority = self.secret(f"{NAME}-keycloak-tls-secret")["ca.crt"]
            with httpx.Client(
                base_url=f"https://localhost:{port}",
                verify=ssl.create_default_context(cadata=authority),
                timeout=30,
            ) as client:
                yield client

    def administrator(self, keycloak: httpx.Client) -> dict[str, str]:
        """The header of who may do everything in Keycloak."""
        held = self.secret(f"{NAME}-keycloak-secret")
        token = client_token(
            keycloak,
            "master",
            held["bootstrap-client-id"],
            held["bootstrap-client-secret"],
        )
        return {"Authorization": f"Bearer {token}"}

    def _apply(self, verb: str, program: str) -> None:
        path = self.folder / "values.json"
        path.write_text(json.dumps(self.values))
        arguments = ("--values", str(path), "--wait", "--timeout", WAIT)
        self.helm(verb, NAME, str(CHART), *arguments, program=program)


def client_token(
    keycloak: httpx.Client, realm: str, client_id: str, secret: str
) -> str:
    """A token that a client gets for itself."""
    LEDGER.keep("client secret", secret)
    answer = keycloak.post(
        f"/realms/{realm}/protocol/openid-connect/token",
        data={
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
        },
    )
    token = str(answer.raise_for_status().json()["access_token"])
    LEDGER.keep("token", token)
    return token


@contextmanager
def forwarded(kubectl: Kubectl, name: str, port: int) -> Iterator[int]:
    """Forward a port of this machine, and give it."""
    with subprocess.Popen(
        (
            *("kubectl", "--namespace", kubectl.namespace, "port-forward"),
            *(name, f":{port}"),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(line.split("127.0.0.1:")[1].split()[0])
        finally:
            process.terminate()


def _merged(values: Values, other: Values) -> Values:
    found = dict(values)
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], value)
        else:
            found[key] = value
    return found
