"""What the chart renders, for each of the profiles in its folder `ci`."""

import copy
import hashlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from helm_python import Chart
from helm_python.errors import HelmError

from gatehouse_operator.manifests import (
    DELETION_COST_RULES,
    keycloak_rules,
    role_map_rules,
)
from tests.chart.conftest import (
    CHART,
    PROFILES,
    Manifest,
    Renderer,
    containers_of,
    pods_of,
    profile,
)
from tests.chart.kubernetes import complaints
from tests.docs.repository import ROOT

COMPONENT: Final = "app.kubernetes.io/component"
LEAST: Final = 15
"""So many profiles there are at least."""
RENDERED: Final[dict[str, list[Manifest]]] = {}
"""What each profile renders: several tests look at it."""
SECRETS_OF: Final = {
    "gatehouse": {"gatehouse-service-secret"},
    "gatehouse-migrate": {"gatehouse-migrations-secret"},
    "gatehouse-operator-rbac": {"gatehouse-operator-rbac-secret"},
    "gatehouse-operator-keycloak": {"gatehouse-operator-keycloak-secret"},
    "gatehouse-postgres": {"gatehouse-postgres-secret"},
    "gatehouse-redis": {"gatehouse-redis-secret"},
    "gatehouse-keycloak": {"gatehouse-keycloak-secret"},
    "gatehouse-postgres-exporter": {"gatehouse-postgres-exporter-secret"},
    "gatehouse-redis-exporter": {"gatehouse-redis-exporter-secret"},
    "gatehouse-test-http": {"gatehouse-test-client"},
    "gatehouse-test-socket": {"gatehouse-test-client"},
    "gatehouse-test-role-map": {"gatehouse-test-client"},
}


def test_there_are_enough_profiles() -> None:
    """Each is a way in which somebody would install it."""
    assert len(PROFILES) >= LEAST


@pytest.fixture(params=PROFILES)
def manifests(
    request: pytest.FixtureRequest, renderer: Renderer
) -> list[Manifest]:
    """What a profile renders."""
    name = str(request.param)
    if name not in RENDERED:
        RENDERED[name] = renderer.manifests(profile(name))
    return RENDERED[name]


def test_kubernetes_knows_every_field(manifests: list[Manifest]) -> None:
    """Of its own kinds strictly, and of ours by their definitions."""
    assert [] == [said for one in manifests for said in complaints(one)]


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    """As Pod Security's standard of that name asks for."""
    pods = dict(pods_of(manifests))
    assert pods
    for name, pod in pods.items():
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] > 0, name
        assert "RuntimeDefault" == context["seccompProfile"]["type"], name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        kinds = {k for v in pod.get("volumes", ()) for k in v} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret"}
        for container in containers_of(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert {"drop": ["ALL"]} == own["capabilities"], name
            ports = container.get("ports", ())
            assert not [port for port in ports if "hostPort" in port], name
            is_keycloak = container["name"] == "keycloak"
            assert own["readOnlyRootFilesystem"] is not is_keycloak, name
            assert {"requests", "limits"} <= container["resources"].keys()


def test_only_who_asks_the_api_server_has_a_token(
    manifests: list[Manifest],
) -> None:
    """The operators, and the test that edits a role map."""
    asking = {
        name
        for name, pod in pods_of(manifests)
        if pod["automountServiceAccountToken"]
    }
    assert asking <= {
        name
        for name, _ in pods_of(manifests)
        if "operator" in name or "role-map" in name or "secrets" in name
    }
    accounts = [one for one in manifests if one["kind"] == "ServiceAccount"]
    assert not [one for one in accounts if one["automountServiceAccountToken"]]


def test_what_runs_for_long_is_probed(manifests: list[Manifest]) -> None:
    """By all three probes, and it is told to end in time."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            pod = manifest["spec"]["template"]["spec"]
            for container in pod["containers"]:
                probes = {k for k in container if k.endswith("Probe")}
                assert 3 == len(probes), manifest["metadata"]["name"]


def test_what_runs_for_long_is_started_again_for_what_it_reads(
    manifests: list[Manifest],
) -> None:
    """Whatever it reads when it starts: settings, and rights in Redis."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            metadata = manifest["spec"]["template"]["metadata"]
            sums = {
                key: value
                for key, value in metadata.get("annotations", {}).items()
                if key.startswith("checksum/")
            }
            assert 1 == len(sums), manifest["metadata"]["name"]
            assert hashlib.sha256(b"null").hexdigest() not in sums.values()


def test_labels_and_names_are_regular(manifests: list[Manifest]) -> None:
    """All begin with the release, and no name is given twice."""
    seen = set()
    for one in manifests:
        key = (one["kind"], one["metadata"]["name"])
        assert key not in seen, key
        seen.add(key)
        assert key[1].startswith("gatehouse"), key
        assert len(key[1]) <= 63 or one["apiVersion"].startswith("admission")


class Strict(yaml.SafeLoader):
    """Reads YAML that says nothing twice."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        """Read a mapping."""
        found = super().construct_mapping(node, deep)
        assert len(node.value) == len(found), node.start_mark
        return found


def test_labels_of_ones_own_are_said_once(renderer: Renderer) -> None:
    """They win, but those by which pods are found, and text stays text."""
    part = "app.kubernetes.io/part-of"
    given = {part: "shop", "app.kubernetes.io/name": "shop", "year": "2026"}
    values = profile("monitoring")
    values["commonLabels"] = given
    values["monitoring"]["serviceMonitors"]["labels"] = {"year": "2027"}
    values["app"] = {"labels": {COMPONENT: "shop", part: "front"}}
    texts = renderer.texts(values)
    found = [
        one
        for path, text in texts.items()
        if path.endswith(".yaml")
        for one in yaml.load_all(text, Strict)
        if one and "labels" in one["metadata"]
    ]
    (service,) = (
        one["spec"]["template"]["metadata"]["labels"]
        for one in found
        if (one["kind"], one["metadata"]["name"])
        == ("Deployment", "gatehouse")
    )
    assert ("app", "front") == (service[COMPONENT], service[part])
    labels = [one["metadata"]["labels"] for one in found]
    assert {"shop"} == {one[part] for one in labels}
    assert {"gatehouse"} == {one["app.kubernetes.io/name"] for one in labels}
    assert {"2026", "2027"} == {one["year"] for one in labels}


def test_a_namespace_may_be_a_number() -> None:
    """It is text wherever it stands."""
    with Chart.load(CHART) as chart:
        texts = chart.render(
            profile("monitoring"), name="gatehouse", namespace="2026"
        )
    found = [
        one
        for path, text in texts.items()
        if path.endswith(".yaml")
        for one in yaml.safe_load_all(text)
    ]
    assert [] == [where for one in found for where in numbers(one, "2026")]


def numbers(value: object, text: str) -> Iterator[str]:
    """Every number that was to be this text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one, text)
    elif str(value) == text and not isinstance(value, str):
        yield text


@pytest.mark.parametrize("name", PROFILES)
def test_two_renderings_are_the_same(name: str, renderer: Renderer) -> None:
    """But for what Helm makes once: passwords and a certificate."""
    values = profile(name)
    one, two = (masked(renderer.manifests(values)) for _ in range(2))
    assert one == two


def masked(manifests: list[Manifest]) -> list[Manifest]:
    """Manifests without the values of Secrets."""
    found = copy.deepcopy(manifests)
    for one in found:
        if one["kind"] == "Secret":
            one["data"] = sorted(one["data"])
    return found


def test_passwords_are_where_they_are_needed(renderer: Renderer) -> None:
    """Each pod is told of one Secret, its own."""
    for name, pod in pods_of(renderer.manifests(profile("exporters"))):
        told = set()
        for container in containers_of(pod):
            for variable in container.get("env", ()):
                source = variable.get("valueFrom", {})
                if "secretKeyRef" in source:
                    told.add(source["secretKeyRef"]["name"])
        key = name
        if name.startswith("gatehouse-migrate-"):
            key = "gatehouse-migrate"
        assert told == SECRETS_OF[key], name


@pytest.mark.parametrize(
    ("component", "mode", "rules"),
    [
        ("operator-rbac", "none", role_map_rules("gatehouse")),
        (
            *("operator-rbac", "keda"),
            [*role_map_rules("gatehouse"), *DELETION_COST_RULES],
        ),
        ("operator-keycloak", "keda", keycloak_rules("gatehouse")),
    ],
)
def test_an_operator_has_the_rules_of_its_code(
    component: str, mode: str, rules: list[Manifest], renderer: Renderer
) -> None:
    """And the service's account has none at all."""
    manifests = renderer.manifests({"autoscaling": {"mode": mode}})
    roles = {
        one["metadata"]["name"]: one["rules"]
        for one in manifests
        if one["kind"] == "Role"
    }
    assert rules == roles[f"gatehouse-{component}"]
    bound = {
        subject["name"]
        for one in manifests
        if one["kind"] == "RoleBinding"
        for subject in one["subjects"]
    }
    assert bound == {
        "gatehouse-operator-rbac",
        "gatehouse-operator-keycloak",
        "gatehouse-test",
    }
    assert not [one for one in manifests if one["kind"] == "ClusterRole"]


def test_what_ending_a_pod_costs_is_said_where_it_matters(
    renderer: Renderer,
) -> None:
    """Where something scales, and a policy limits who says it."""
    for mode, checks in (("none", True), ("hpa", False), ("hpa", True)):
        values = {
            "autoscaling": {"mode": mode},
            "admission": {"enabled": checks},
        }
        manifests = renderer.manifests(values)
        (operator,) = (
            pod
            for name, pod in pods_of(manifests)
            if name == "gatehouse-operator-rbac"
        )
        env = {
            one["name"]: one.get("value")
            for one in operator["containers"][0]["env"]
        }
        is_said = mode == "hpa" and checks
        assert str(is_said).lower() == env["DELETION_COSTS"]
        (role,) = (
            one["rules"]
            for one in manifests
            if one["kind"] == "Role"
            and one["metadata"]["name"] == "gatehouse-operator-rbac"
        )
        assert is_said is (DELETION_COST_RULES[0] in role)


def test_rights_are_written_down(renderer: Renderer) -> None:
    """Each rule of each account is in docs/security.md, and no other."""
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    said: dict[str, set[str]] = {}
    account = ""
    for line in text.split("## Passwords")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and "`" in line:
            account = cells[0].strip("`") or account
            said.setdefault(account, set()).add(f"{cells[1]}: {cells[2]}")
    del said["gatehouse"]
    values = {"secrets": {"mode": "job"}, "autoscaling": {"mode": "hpa"}}
    manifests = renderer.manifests(values)
    assert said == {
        one["metadata"]["name"]: set(map(in_words, one["rules"]))
        for one in manifests
        if one["kind"] == "Role" and "editor" not in one["metadata"]["name"]
    }


def in_words(rule: Manifest) -> str:
    """A rule, as the documentation writes it."""
    suffix = ".gatehouse.dev" if rule["resources"] == ["rolemaps"] else ""
    names = [f"`{name}{suffix}`" for name in rule["resources"]]
    what = ", ".join(names)
    if "resourceNames" in rule:
        named = ", ".join(f"`{name}`" for name in rule["resourceNames"])
        what += f" named {named}"
    return f"{what}: " + ", ".join(f"`{verb}`" for verb in rule["verbs"])


GIVEN: Final[dict[str, Any]] = {
    "secrets": {
        "mode": "existing",
        "existing": {
            "service": "yours",
            "operatorRbac": "yours",
            "operatorKeycloak": "yours",
            "postgres": "yours",
            "redis": "yours",
            "keycloak": "yours",
            "keycloakTls": "yours",
        },
    },
    "migrations": {"mode": "none"},
}
"""All Secrets but one are somebody's own."""
GUARDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "external without passwords": (
        "redis.mode is external, so its password is yours",
        {"redis": {"mode": "external", "external": {"host": "x"}}},
    ),
    "no Secret": (
        "secrets.existing.migrations is needed",
        {**GIVEN, "migrations": {"mode": "job"}},
    ),
    "no host of PostgreSQL": (
        "postgres.external.host is needed",
        {**GIVEN, "postgres": {"mode": "external"}},
    ),
    "no host of Redis": (
        "redis.external.host is needed",
        {**GIVEN, "redis": {"mode": "external"}},
    ),
    "no URL of Keycloak": (
        "keycloak.external.url is needed",
        {**GIVEN, "keycloak": {"mode": "external"}},
    ),
    "no database of Keycloak": (
        "keycloak.database.host is needed",
        {
            **GIVEN,
            "postgres": {"mode": "external", "external": {"host": "x"}},
        },
    ),
    "a volume that CloudNativePG does not take": (
        "postgres.extraVolumes is for the bundled PostgreSQL",
        {"postgres": {"mode": "operator", "extraVolumes": [{"name": "x"}]}},
    ),
    "Sentinels of the bundled Redis": (
        "redis.external.sentinels is for a Redis of yours",
        {"redis": {"external": {"sentinels": ["one:26379"]}}},
    ),
    "an exporter of somebody else's server": (
        "redis.metrics is for the bundled server: redis.mode is external",
        {
            **GIVEN,
            "redis": {
                "mode": "external",
                "external": {"host": "x"},
                "metrics": {"enabled": True},
            },
        },
    ),
    "an Ingress of somebody else's Keycloak": (
        "keycloak.ingress is for a Keycloak of the release",
        {
            **GIVEN,
            "keycloak": {
                "mode": "external",
                "external": {"url": "https://x"},
                "ingress": {"enabled": True},
            },
        },
    ),
    "a realm that nobody makes": (
        "keycloak.realm.create needs operators.keycloak.enabled",
        {"operators": {"keycloak": {"enabled": False}}},
    ),
    "demo users without a realm": (
        "keycloak.realm.demo needs keycloak.realm.create",
        {"keycloak": {"realm": {"create": False, "demo": {"enabled": True}}}},
    ),
    "a certificate without a host": (
        "ingress.host is needed",
        {"ingress": {"enabled": True, "tlsSecret": "x"}},
    ),
    "a route without a gateway": (
        "httpRoute.parentRefs is needed",
        {"httpRoute": {"enabled": True}},
    ),
    "more at least than at most": (
        "autoscaling.minReplicas is more than autoscaling.maxReplicas",
        {"autoscaling": {"mode": "hpa", "minReplicas": 11}},
    ),
    "KEDA without Prometheus": (
        "autoscaling.prometheusAddress is needed",
        {"autoscaling": {"mode": "keda", "socketsPerPod": 1}},
    ),
    "a node port of a ClusterIP": (
        "app.service.nodePort is for a Service of type NodePort",
        {"app": {"service": {"nodePort": 30000}}},
    ),
    "a setting that the chart makes": (
        "app.settings.DB_HOST is made by the chart",
        {"app": {"settings": {"DB_HOST": "x"}}},
    ),
    "too little time to end": (
        "app.terminationGracePeriodSeconds is 30, but",
        {"app": {"terminationGracePeriodSeconds": 30}},
    ),
    "an upgrade without its passwords": (
        "the Secret gatehouse-seed is gone",
        {},
    ),
    "a word that is none": (
        "postgres/mode",
        {"postgres": {"mode": "extern"}},
    ),
    "a value that is misspelt": (
        "replcas",
        {"app": {"replcas": 3}},
    ),
}


@pytest.mark.parametrize("case", GUARDS)
def test_what_does_not_go_together_is_said(
    case: str, renderer: Renderer
) -> None:
    """With the name of the value that is to be changed."""
    message, values = GUARDS[case]
    is_upgrade = case == "an upgrade without its passwords"
    with pytest.raises(HelmError) as raised:
        renderer.texts(values, is_upgrade=is_upgrade)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "name", ["exporters", "keycloak-operator", "postgres-operator"]
)
def test_who_calls_whom_is_allowed_on_both_sides(
    name: str, renderer: Renderer
) -> None:
    """What may go out to a part of the release may come in there."""
    anybody = {"clientFrom": [{"ipBlock": {"cidr": "::/0"}}]}
    values = {"networkPolicy": anybody, **profile(name)}
    policies = {
        part(one["spec"]): one["spec"]
        for one in renderer.manifests(values)
        if one["kind"] == "NetworkPolicy"
    }
    out = {
        (component, part(peer))
        for component, spec in policies.items()
        for rule in spec.get("egress") or ()
        for peer in rule.get("to", ())
    }
    into = {
        (part(peer), component)
        for component, spec in policies.items()
        for rule in spec.get("ingress") or ()
        for peer in rule.get("from", ())
        if "podSelector" in peer
    }
    # Servers of one cluster talk to each other.
    into -= {("postgres", "postgres")}
    if name == "keycloak-operator":
        # Of its servers that operator says who may come in.
        assert not {pair for pair in out if pair[0] == "keycloak"}
        out |= {("keycloak", "postgres"), ("keycloak", "app")}
        into |= {pair for pair in out if pair[1] == "keycloak"}
    assert out == into
    if name == "exporters":
        assert ("redis-exporter", "redis") in out
        assert ("postgres-exporter", "postgres") in out
    assert out >= {
        ("app", "postgres"),
        ("app", "redis"),
        ("app", "keycloak"),
        ("keycloak", "app"),
        ("migrate", "postgres"),
        ("operator-rbac", "redis"),
        ("operator-keycloak", "keycloak"),
        ("test", "app"),
    }


def part(selecting: Manifest) -> str:
    """Which part of the release a selector of pods means."""
    labels = selecting["podSelector"]["matchLabels"]
    if labels == {"cnpg.io/cluster": "gatehouse-postgres"}:
        return "postgres"
    if labels.get("app.kubernetes.io/managed-by") == "keycloak-operator":
        return "keycloak"
    return str(labels[COMPONENT])


def test_cloudnative_pg_is_told_what_it_is_given(renderer: Renderer) -> None:
    """What somebody says of the Cluster wins; an empty list is not said."""
    values = profile("postgres-operator")
    cluster = the_cluster(renderer.manifests(values))
    assert "affinity" not in cluster
    assert "initdb" in cluster["bootstrap"]
    assert "30d" == cluster["backup"]["retentionPolicy"]
    values["postgres"]["operator"]["spec"] = {
        "bootstrap": {"recovery": {"source": "old"}},
        "postgresql": {"synchronous": {"dataDurability": "preferred"}},
    }
    values["postgres"]["affinity"] = {"podAffinity": {"x": 1}}
    cluster = the_cluster(renderer.manifests(values))
    names = {"database": "gatehouse", "owner": "gatehouse_owner"}
    assert {"recovery": {"source": "old", **names}} == cluster["bootstrap"]
    assert {"method": "any", "number": 1, "dataDurability": "preferred"} == (
        cluster["postgresql"]["synchronous"]
    )
    assert {"additionalPodAffinity": {"x": 1}} == cluster["affinity"]


def test_what_is_off_or_empty_wins_as_well(renderer: Renderer) -> None:
    """Of what somebody says of a Cluster and of a Keycloak."""
    cluster = {"managed": {"roles": []}, "enablePDB": False}
    values = profile("postgres-operator")
    values["postgres"]["operator"]["spec"] = cluster
    found = the_cluster(renderer.manifests(values))
    assert cluster == {name: found[name] for name in cluster}
    keycloak: Manifest = {
        "networkPolicy": {"enabled": False},
        "features": {"enabled": []},
        "startOptimized": False,
    }
    values = profile("keycloak-operator")
    values["networkPolicy"] = {}
    values["keycloak"]["operator"]["spec"] = keycloak
    spec = the_keycloak(renderer.manifests(values))["spec"]
    assert keycloak == {name: spec[name] for name in keycloak}


def test_a_name_that_is_no_plain_yaml_hides_no_refusal(
    renderer: Renderer,
) -> None:
    """What is told is what is wrong, not where a template stumbled."""
    values = profile("keycloak-operator")
    values["postgres"] = {
        "mode": "external",
        "external": {"host": "db.example.com"},
    }
    values["keycloak"]["database"] = {
        "host": "db.example.com",
        "username": "team: keycloak # 1",
    }
    with pytest.raises(HelmError, match=r"secrets\.mode must be existing"):
        renderer.manifests(values)


def test_keycloaks_own_operator_is_told_what_the_bundled_one_is(
    renderer: Renderer,
) -> None:
    """By the names of its resource; what somebody says of it wins."""
    values = profile("keycloak-operator")
    manifests = renderer.manifests(values)
    found = the_keycloak(manifests)
    spec = found["spec"]
    assert values["keycloak"]["operator"]["spec"]["image"] == spec["image"]
    assert values["keycloak"]["hostname"] == spec["hostname"]["hostname"]
    assert spec["db"]["url"].endswith(
        "?sslmode=verify-full&sslrootcert=/etc/gatehouse/trust/postgres.crt"
    )
    pod = spec["unsupported"]["podTemplate"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert {"drop": ["ALL"]} == container["securityContext"]["capabilities"]
    secrets = {
        one["metadata"]["name"]: one.get("data", {})
        for one in manifests
        if one["kind"] == "Secret"
    }
    held = secrets[spec["bootstrapAdmin"]["service"]["secret"]]
    assert {"client-id", "client-secret"} <= held.keys()
    for name in ("usernameSecret", "passwordSecret"):
        asked = spec["db"][name]
        assert asked["key"] in secrets[asked["name"]]
    (ingress,) = (one for one in manifests if one["kind"] == "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert f"{found['metadata']['name']}-service" == backend["service"]["name"]


def the_keycloak(manifests: list[Manifest]) -> Manifest:
    """The one resource of Keycloak's own operator."""
    (found,) = (one for one in manifests if one["kind"] == "Keycloak")
    return found


def the_cluster(manifests: list[Manifest]) -> Manifest:
    """The spec of the one Cluster of CloudNativePG."""
    (cluster,) = (one for one in manifests if one["kind"] == "Cluster")
    assert (
        "keep"
        == (cluster["metadata"]["annotations"]["helm.sh/resource-policy"])
    )
    spec: Manifest = cluster["spec"]
    return spec


def test_keycloak_reaches_a_database_of_its_own(renderer: Renderer) -> None:
    """At its port, which need not be that of the service's database."""
    values = profile("external-postgres")
    values["keycloak"]["database"]["port"] = 7777
    (policy,) = (
        one
        for one in renderer.manifests(values)
        if one["kind"] == "NetworkPolicy"
        and one["metadata"]["name"] == "gatehouse-keycloak"
    )
    assert {"ports": [{"port": 7777}]} in policy["spec"]["egress"]


@pytest.mark.parametrize("given", [None, 0, 4])
def test_ended_sessions_have_the_database_they_are_given(
    given: int | None, renderer: Renderer
) -> None:
    """The first one, too; without a number the service decides."""
    values = profile("external")
    values["redis"]["external"]["authDatabase"] = given
    (settings,) = (
        one["data"]
        for one in renderer.manifests(values)
        if "MAIN_REDIS_DB" in one.get("data", ())
    )
    assert (None if given is None else str(given)) == (
        settings.get("AUTH_REDIS_DB")
    )


def test_every_mount_has_its_volume(renderer: Renderer) -> None:
    """Also those of a migration that runs in the service's pods."""
    more = {
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    for mode in ("init", "job"):
        values = {"migrations": {"mode": mode, **more}}
        for name, pod in pods_of(renderer.manifests(values)):
            volumes = {volume["name"] for volume in pod.get("volumes", ())}
            claims = {"data"}
            for container in containers_of(pod):
                mounts = {m["name"] for m in container.get("volumeMounts", ())}
                assert mounts <= volumes | claims, name


def test_a_field_that_kubernetes_does_not_know_is_told() -> None:
    """Else the tests before this one could say nothing."""
    metadata = {"name": "x"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    too_many = {**service, "spec": {"port": 1}}
    of_another_type = {**service, "spec": {"ports": [{"port": "a"}]}}
    assert [
        (
            "Service x: spec: Additional properties are not allowed"
            " ('port' was unexpected)"
        )
    ] == complaints(too_many)
    assert [
        'Service x: spec.ports.0.port: "a" is not of type "integer"'
    ] == complaints(of_another_type)
