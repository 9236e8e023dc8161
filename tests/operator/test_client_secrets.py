"""The Secrets with which clients sign in, and whose they are."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import Secret
from pydantic import ValidationError

from gatehouse_operator.crds import KINDS, structural
from gatehouse_operator.keycloak.clients import Place
from gatehouse_operator.reconcile.status import Fact
from gatehouse_operator.resources.base import Part
from gatehouse_operator.resources.client import KeycloakClientSpec
from gatehouse_operator.resources.resource import Resource
from gatehouse_operator.sync.secrets import ClientSecrets

URLS = (
    *("issuer", "authorization_endpoint", "token_endpoint"),
    *("userinfo_endpoint", "jwks_uri", "end_session_endpoint"),
)
PLACE = Place("shop", "uuid")


class Cluster:
    """The Secrets of a namespace, by name."""

    def __init__(self, **owners: str) -> None:
        self.there = {
            name: self._secret(name, uid, {}) for name, uid in owners.items()
        }

    @staticmethod
    def _secret(name: str, uid: str, data: Mapping[str, str]) -> Secret:
        owner = OwnerReference(
            apiVersion="v1", kind="any", name="any", uid=uid, controller=True
        )
        encoded = {
            key: base64.b64encode(value.encode()).decode()
            for key, value in data.items()
        }
        metadata = ObjectMeta(name=name, ownerReferences=[owner])
        return Secret(metadata=metadata, data=encoded)

    async def secret(self, name: str) -> Secret | None:
        """Return one."""
        return self.there.get(name)

    async def secrets(self) -> list[Secret]:
        """Return all."""
        return list(self.there.values())

    async def create_secret(
        self, name: str, data: Mapping[str, str], owner: Resource
    ) -> None:
        """Make one."""
        self.there[name] = self._secret(name, owner.uid, data)

    async def delete_secret(self, name: str) -> None:
        """Remove one."""
        del self.there[name]


class Keycloak:
    """A client whose secret has never been made anew."""

    def __init__(self) -> None:
        self.rotations = 0

    async def find(self, *_: str) -> dict[str, Any]:
        """Return the client."""
        return {}

    async def secret(self, _: Place) -> str:
        """Return its secret."""
        return f"secret {self.rotations}"

    async def new_secret(self, _: Place) -> bool:
        """Make another one."""
        self.rotations += 1
        return False

    async def discovery(self, _: str) -> dict[str, str]:
        """Return where things are."""
        return dict.fromkeys(URLS, "https://keycloak")


def secrets(cluster: Cluster, keycloak: Keycloak) -> ClientSecrets:
    """What keeps these Secrets."""
    fakes: tuple[Any, ...] = (cluster, keycloak, keycloak)
    return ClientSecrets(*fakes)


def spec(**secret: str) -> KeycloakClientSpec:
    """A client's, with this Secret."""
    return KeycloakClientSpec.model_validate(
        {
            "realmRef": "shop",
            "clientId": "web",
            "type": "confidential",
            "secret": secret,
        }
    )


def resource(**status: Any) -> Resource:
    """A client's resource, whose spec was changed once."""
    return Resource("KeycloakClient", "web", "space", "us", 2, 1, {}, status)


@pytest.mark.parametrize("wish", [{"name": "new"}, {"existing": "mine"}])
async def test_what_an_earlier_spec_asked_for_goes(
    wish: dict[str, str],
) -> None:
    """Also if the status has spoken of this spec while it was in trouble."""
    cluster = Cluster(old="us", mine="them")
    ready = {"type": "SecretReady", "status": "True", "observedGeneration": 1}
    ours = resource(observedGeneration=2, conditions=[ready])
    report = await secrets(cluster, Keycloak()).bring(
        ours, spec(**wish), PLACE, {"secret": "s"}
    )
    assert "True" == report.fact.status
    assert {"mine", *wish.values()} == set(cluster.there)


async def test_nobody_loses_a_secret_for_one_that_cannot_be_written() -> None:
    """Where somebody else has the Secret, none is made anew in Keycloak."""
    keycloak = Keycloak()
    report = await secrets(Cluster(web="them"), keycloak).bring(
        resource(), spec(name="web", rotateEvery="1h"), PLACE, {}
    )
    says = "Secret web is there, and is not ours"
    assert Fact("False", "NotOwned", says) == report.fact
    assert 0 == keycloak.rotations


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "Web_OIDC"},
        {"name": "a" * 254},
        {"existing": "../configmaps/x"},
        {"existing": "mine", "key": "a key"},
    ],
)
def test_a_name_that_no_secret_can_have_is_refused(
    wish: dict[str, str],
) -> None:
    """One of 253 letters is good."""
    with pytest.raises(ValidationError):
        spec(**wish)
    good = spec(name="a" * 253)
    assert good.secret is not None
    assert "a" * 253 == good.secret.name


def test_the_api_server_refuses_such_names_by_itself() -> None:
    """The definition has the patterns."""
    (client,) = (kind for kind in KINDS if kind.name == "KeycloakClient")
    schema = structural(client.spec or Part)
    fields = schema["properties"]["secret"]["properties"]
    patterns = [
        fields[name]["pattern"] for name in ("name", "existing", "key")
    ]
    label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    name = rf"^{label}(\.{label})*$"
    assert [name, name, "^[-._a-zA-Z0-9]+$"] == patterns
