"""What is looked at before anything is done."""

from typing import TypeVar

from pydantic import ValidationError

from gatehouse_operator.errors import InvalidSpec, SecretMissing
from gatehouse_operator.kube import Kube, values
from gatehouse_operator.resources.base import Part
from gatehouse_operator.resources.resource import Resource

SpecT = TypeVar("SpecT", bound=Part)


class NotNow(Exception):
    """There is nothing to do before something else has happened."""


def read_spec(model: type[SpecT], resource: Resource) -> SpecT:
    """Read the spec of a resource.

    Raises:
        InvalidSpec: It is older than its definition, which would refuse it
            now.
    """
    try:
        return model.model_validate(dict(resource.spec))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
    raise InvalidSpec(
        "; ".join(
            f"spec.{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in found
        )
    )


async def read_secret(kube: Kube, name: str, key: str) -> str:
    """Read a value of a Secret that a spec names.

    Raises:
        SecretMissing: There is none.
    """
    found = await kube.secret(name)
    held = values(found) if found else {}
    if not held.get(key):
        raise SecretMissing(f"Secret {name} has no key {key}")
    return held[key]


async def check_still_there(kube: Kube, resource: Resource) -> None:
    """Look at a resource once more, before Keycloak is changed for it.

    Raises:
        NotNow: It is not as it was; what is new comes next.
    """
    if not await kube.is_still(resource):
        raise NotNow("the resource has changed meanwhile")
