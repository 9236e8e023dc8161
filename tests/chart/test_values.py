"""The chart's values: each one does something, and any set of them renders."""

import copy
import importlib.util
import random
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import pytest
from helm_python.errors import HelmError
from jsonschema import Draft202012Validator

from tests.chart.conftest import CHART, Renderer, Values, profile, words
from tests.chart.kubernetes import complaints
from tests.docs.repository import ROOT

SETS: Final = 1000
PARTS: Final = 4
"""In so many tests, which may run beside each other."""
GUARDED: Final = (
    *("is needed", "must be existing", "is for the bundled", "needs "),
    "is for a Keycloak of the release",
    "is for a Redis of yours",
    *("is more than", "is for a Service", "but preStopSeconds"),
)
"""What is said where values do not go together."""
SCHEMA: Final = words(CHART / "values.schema.json")
SAMPLES: Final[dict[str, list[Any]]] = {
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$": ["", "x", "some-name"],
    r"^(https?://[^/\s?#]+(/[^\s?#]*)?)?$": [
        "",
        "https://x.example:8443",
        "https://x.example/auth",
    ],
    "^(sha256:[0-9a-f]{64})?$": ["", f"sha256:{'a1' * 32}"],
    r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?$": ["1Gi", "500M"],
    "^[A-Za-z0-9_.-]+$": ["staff", "Some_Realm"],
    "^/": ["/", "/gate"],
    "^[-._a-zA-Z0-9]+$": ["tls.crt", "a_b-c"],
    "^[1-9][0-9]?%$": ["1%", "50%"],
    "^[0-9]+(s|m)$": ["10s", "1m"],
    "": ["", "x", "some text: with # and {{ braces }} and 'quotes'"],
}
OBJECTS: Final[dict[str, list[Any]]] = {
    "resources": [
        {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        {"requests": {}, "limits": {}},
    ],
    "tolerations": [[], [{"key": "k", "operator": "Exists"}]],
    "affinity": [{}, {"nodeAffinity": {}}],
    "topologySpreadConstraints": [
        [],
        [
            {
                "maxSkew": 2,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
            }
        ],
    ],
    "extraEnv": [[], [{"name": "X", "value": "y: z"}]],
    "extraVolumes": [[], [{"name": "extra", "emptyDir": {}}]],
    "sentinels": [[], ["one.example.com:26379", "two:26380"]],
    "spec": [{}, {"imageName": "x", "storage": {"size": "2Gi"}}],
    "extraVolumeMounts": [[], [{"name": "extra", "mountPath": "/extra"}]],
    "settings": [
        {},
        {"LOG_LEVEL": "INFO", "RATE_LIMIT_PER_MINUTE": 1000000, "X": 0.5},
    ],
    "parentRefs": [[], [{"name": "gateway"}]],
    "timeouts": [{}, {"request": "1s"}],
    "clientFrom": [[], [{"podSelector": {}}]],
    "apiServerPorts": [[443], [6443, 16443]],
    "extraEgress": [[], [{"ports": [{"port": 4317}]}]],
    "metricsFrom": [[], [{"namespaceSelector": {}}]],
}


def generated() -> ModuleType:
    """The script that writes what is made of the values."""
    path = ROOT / "charts" / "values.py"
    found = importlib.util.spec_from_file_location("chart_values", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["chart_values"] = module
    found.loader.exec_module(module)
    return module


def test_files_are_what_is_made_of_the_values() -> None:
    """`make docs` has been run."""
    made = generated()
    texts = {
        "values.schema.json": made.schema(),
        "values.yaml": made.values(),
    }
    for name, text in texts.items():
        assert text == (CHART / name).read_text("utf-8"), name
    assert (CHART / "README.md").read_text("utf-8").endswith(made.table())
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "values",
    [
        {"app": {"resources": {"limit": {"memory": "1Gi"}}}},
        {"operators": {"rbac": {"resources": {"request": {}}}}},
        {"postgres": {"storage": {"size": "8GB"}}},
    ],
)
def test_a_typo_in_a_resource_is_refused(
    renderer: Renderer, values: Values
) -> None:
    """Nothing else says so before a pod runs without its limits."""
    with pytest.raises(HelmError):
        renderer.check(values)


def leaves(
    schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every value that can be given, with its schema."""
    for name, part in schema["properties"].items():
        found = part
        if "$ref" in part:
            found = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]]
        if "properties" in found:
            yield from leaves(found, (*path, name))
        else:
            yield (*path, name), found


LEAVES: Final = dict(leaves(SCHEMA))


def a_value(
    path: tuple[str, ...], schema: dict[str, Any], chance: random.Random
) -> Any:
    """A value that the schema allows."""
    if "anyOf" in schema:
        return a_value(path, chance.choice(schema["anyOf"]), chance)
    return chance.choice(choices(path, schema))


def choices(path: tuple[str, ...], schema: dict[str, Any]) -> list[Any]:
    """Some of the values that the schema allows."""
    if path[-1] in OBJECTS:
        return OBJECTS[path[-1]]
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "string":
        found = SAMPLES[schema.get("pattern", "")]
        return [one for one in found if len(one) >= schema.get("minLength", 0)]
    least, most = schema.get("minimum", 0), schema.get("maximum", 10**6)
    kinds: dict[str, list[Any]] = {
        "boolean": [False, True],
        "integer": [least, min(least + 1, most), most],
        "array": [[], ["one"], ["one", "two"]],
        "object": [{}, {"example.com/key": "yes: no"}],
        "null": [None],
    }
    return kinds[schema["type"]]


def placed(values: Values, path: tuple[str, ...], value: Any) -> None:
    """Put a value where it belongs."""
    *parents, name = path
    for parent in parents:
        values = values.setdefault(parent, {})
    values[name] = value


def make_fit(values: Values) -> None:
    """Give all that something may need."""
    placed(values, ("secrets", "mode"), "existing")
    for path in LEAVES:
        if path[:2] == ("secrets", "existing"):
            placed(values, path, "given")
    for path, value in {
        ("postgres", "external", "host"): "host.example.com",
        ("redis", "external", "host"): "host.example.com",
        ("keycloak", "external", "url"): "https://keycloak.example.com",
        ("keycloak", "database", "host"): "db.example.com",
        ("keycloak", "ingress", "host"): "gate.example.com",
        ("ingress", "host"): "gate.example.com",
        ("httpRoute", "parentRefs"): [{"name": "gateway"}],
        ("autoscaling", "maxReplicas"): 1000,
        ("autoscaling", "minReplicas"): 3,
        ("autoscaling", "prometheusAddress"): "http://prometheus",
        ("app", "terminationGracePeriodSeconds"): None,
    }.items():
        placed(values, path, value)


def a_set(chance: random.Random) -> Values:
    """Some values; mostly such that go together."""
    values: Values = {}
    share = chance.choice((0.01, 0.03, 0.05, 0.1, 0.5))
    for path, schema in LEAVES.items():
        # What changes every file is rare: files that are alike are read once.
        is_everywhere = path[0] in {"global", "nameOverride", "commonLabels"}
        if chance.random() < share / (10 if is_everywhere else 1):
            placed(values, path, a_value(path, schema, chance))
    if chance.random() < 0.9:
        make_fit(values)
        placed(values, ("app", "service", "type"), "NodePort")
        if chance.random() < 0.8:
            placed(values, ("operators", "keycloak", "enabled"), True)
            placed(values, ("keycloak", "realm", "create"), True)
            placed(values, ("keycloak", "ingress", "enabled"), False)
    return values


@pytest.mark.parametrize("_part", range(PARTS))
def test_any_set_of_values_renders_or_is_told_why(
    _part: int, renderer: Renderer
) -> None:
    """What renders is what Kubernetes understands; the seed is printed."""
    seed = secrets.randbelow(10**6)
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    while counts["rendered"] < SETS / PARTS:
        values = a_set(chance)
        renderer.check(values)
        try:
            found = renderer.manifests(values)
        except HelmError as error:
            said = str(error)
            assert any(part in said for part in GUARDED), (seed, said, values)
            counts["refused"] += 1
            assert counts["refused"] < SETS, seed
            continue
        wrong = [said for one in found for said in complaints(one)]
        assert [] == wrong[:1], (seed, values)
        counts["rendered"] += 1


def contexts() -> dict[str, Values]:
    """Profiles in one of which every value does something.

    The Job makes their Secrets, since Helm's own certificate takes longer
    than everything else.
    """
    found = {
        name: {"secrets": {"mode": "job"}, **profile(name)}
        for name in (
            *("default", "external", "monitoring", "ingress", "hpa", "keda"),
            *("http-route", "demo", "existing-bundled", "external-postgres"),
            *("no-operators", "scheduled", "exporters", "postgres-operator"),
            *("existing-operator", "keycloak-operator"),
        )
    }
    make_fit(found.setdefault("all given", {}))
    return found


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_does_something(
    path: tuple[str, ...], renderer: Renderer
) -> None:
    """Another one renders another chart, in one of the profiles."""
    # Those that say something of its part are the likeliest.
    likeliest = sorted(
        contexts().values(), key=lambda values: -depth(values, path)
    )
    assert any(is_read(path, values, renderer) for values in likeliest)


def depth(values: Values, path: tuple[str, ...]) -> int:
    """How many steps towards a value have been taken."""
    found: Any = values
    for number, name in enumerate(path):
        if not isinstance(found, dict) or name not in found:
            return number
        found = found[name]
    return len(path)


def is_read(path: tuple[str, ...], values: Values, renderer: Renderer) -> bool:
    """Say whether a value makes a difference."""
    before = rendered(values, renderer)
    chance = random.Random(0)
    for _ in range(5):
        value = a_value(path, LEAVES[path], chance)
        changed = copy.deepcopy(values)
        placed(changed, path, value)
        after = rendered(changed, renderer)
        if after is not None and after != before:
            return True
    return False


KEPT: dict[str, dict[str, str] | None] = {}


def rendered(values: Values, renderer: Renderer) -> dict[str, str] | None:
    """What values render; None if they are refused."""
    key = repr(values)
    if key not in KEPT:
        try:
            KEPT[key] = renderer.texts(values)
        except HelmError:
            KEPT[key] = None
    return KEPT[key]
