"""What the texts show to copy: values, custom resources, rights in Redis."""

import base64
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import CHART, Renderer, words
from tests.chart.kubernetes import complaints
from tests.docs.repository import ROOT

BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
VALUES: Final = words(CHART / "values.schema.json")["properties"]


def shown(page: Path) -> list[dict[str, Any]]:
    """Every document of every block of YAML of a page."""
    return [
        document
        for block in BLOCK.findall(page.read_text("utf-8"))
        for document in yaml.safe_load_all(block)
    ]


RIGHTS: Final = re.compile(
    r"^ *user (?:gatehouse-)?(\w+) on \S+ (resetchannels .+)$", re.MULTILINE
)
EXAMPLES: Final = shown(ROOT / "docs" / "install.md")
RESOURCES: Final = shown(ROOT / "docs" / "operator.md")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_values_of_the_documentation_render(
    number: int, renderer: Renderer
) -> None:
    """To what Kubernetes knows; none of them is ignored."""
    values = EXAMPLES[number]
    assert values.keys() <= VALUES.keys()
    manifests = renderer.manifests(values)
    assert [] == [said for one in manifests for said in complaints(one)]


@pytest.mark.parametrize("number", range(len(RESOURCES)))
def test_resources_of_the_documentation_are_valid(number: int) -> None:
    """By their definitions, a field too many is wrong."""
    assert [] == complaints(RESOURCES[number])


def test_users_of_redis_have_the_rights_that_work(renderer: Renderer) -> None:
    """Those of the bundled server's, whatever they are called."""
    (secret,) = (
        one
        for one in renderer.manifests({})
        if one["metadata"]["name"] == "gatehouse-redis-secret"
    )
    lines = base64.b64decode(secret["data"]["users.acl"]).decode()
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    bundled, written = (dict(RIGHTS.findall(text)) for text in (lines, page))
    assert written == {
        "gatehouse": bundled["service"],
        "operator": bundled["operator"],
    }
