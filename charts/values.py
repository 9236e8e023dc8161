"""What the chart can be told: the one source of its values.

`make docs` writes from it `values.yaml` (each value, its default and what it
is for), `values.schema.json` (what Helm checks) and the table in the chart's
README, so the three cannot differ.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

CHART: Final = Path(__file__).parent / "gatehouse"
_WIDTH: Final = 78
_HEADER: Final = "# Made by `make docs` from charts/values.py.\n\n"
_TABLE_BEGIN: Final = "<!-- values -->\n"

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=0, le=3600)]
Replicas = Annotated[int, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Quantity = Annotated[
    str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?$")
]
Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
"""A name in Kubernetes, or nothing."""
Url = Annotated[str, Field(pattern=r"^(https?://[^/\s?#]+(/[^\s?#]*)?)?$")]
"""Where a server is, perhaps below a path; or nothing."""
Strings = dict[str, str]
Objects = list[dict[str, Any]]
Scalar = str | int | float | bool
Resources = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={
            "propertyNames": {"enum": ["claims", "limits", "requests"]}
        }
    ),
]
"""Of a container; Helm would leave out what has another name, and say no
word."""


def empty(kind: type) -> Any:
    """A field that has nothing by default."""
    return Field(default_factory=kind)


class Part(BaseModel):
    """A part of the values; what it does not name is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Image(Part):
    """An image, by tag or by digest."""

    repository: Annotated[str, Field(min_length=1)]
    """The image's name; `global.imageRegistry` replaces the registry in
    it."""
    tag: Text = ""
    """The image's tag."""
    digest: Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    """The image's digest, which wins over the tag."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""


class OurImage(Image):
    """An image of this version, by tag or by digest."""

    tag: Text = ""
    """The image's tag; the chart's appVersion if empty."""


class Pods(Part):
    """What every kind of pod can be told."""

    resources: Resources = empty(dict)
    """Requests and limits of the container."""
    node_selector: Strings = empty(dict)
    """Labels of the nodes that may run it."""
    tolerations: Objects = empty(list)
    """Taints that it tolerates."""
    affinity: dict[str, Any] = empty(dict)
    """The pods' affinity."""
    topology_spread_constraints: Objects = empty(list)
    """How replicas are spread; over nodes if empty."""
    priority_class_name: Name = ""
    """The pods' priority class."""
    labels: Strings = empty(dict)
    """More labels of the pods."""
    annotations: Strings = empty(dict)
    """Annotations of the pods."""
    extra_env: Objects = empty(list)
    """More variables of the container."""
    extra_volumes: Objects = empty(list)
    """More volumes of the pods."""
    extra_volume_mounts: Objects = empty(list)
    """Where the container mounts these volumes."""


def resources(cpu: str, memory: str, limit: str) -> Any:
    """Default resources: no limit of CPU, which would only make it slow."""
    return Field(
        default_factory=lambda: {
            "requests": {"cpu": cpu, "memory": memory},
            "limits": {"memory": limit},
        },
        description="Requests and limits of the container.",
    )


class Global(BaseModel):
    """What all charts of a release share; others may have more here."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="allow",
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    image_registry: Text = ""
    """The registry that has all images, instead of their own registries."""
    image_pull_secrets: list[Name] = empty(list)
    """Secrets to pull images with."""


class ExistingSecrets(Part):
    """Secrets that are yours, for `secrets.mode: existing`."""

    service: Name = ""
    """`db-password`, `redis-password`, `rbac-signing-key` and
    `keycloak-service-client-secret`."""
    migrations: Name = ""
    """`db-password` of the user that changes the schema."""
    operator_rbac: Name = ""
    """`signing-key` (the service's `rbac-signing-key`) and
    `redis-password`."""
    operator_keycloak: Name = ""
    """`bootstrap-client-id` and `bootstrap-client-secret`, or
    `client-secret` of an account that you have made."""
    postgres: Name = ""
    """`postgres-password`, `owner-password`, `service-password`,
    `keycloak-password` and `monitor-password`, for the bundled server."""
    postgres_service: Name = ""
    """`username`, which is `gatehouse`, and `password`, the service's
    `db-password`: CloudNativePG gives it to the service's user."""
    postgres_keycloak: Name = ""
    """`username`, which is `keycloak`, and `password`, Keycloak's
    `db-password`: CloudNativePG gives it to Keycloak's user."""
    postgres_exporter: Name = ""
    """`password` of PostgreSQL's user `monitor`, for its exporter."""
    redis_exporter: Name = ""
    """`password` of Redis' user `monitor`, for its exporter."""
    redis: Name = ""
    """`users.acl` and `probe-password`, for the bundled server."""
    keycloak: Name = ""
    """`db-password`, `bootstrap-client-id` and `bootstrap-client-secret`,
    for the bundled server. For Keycloak's own operator: `db-username`,
    `db-password`, `client-id` and `client-secret`."""
    keycloak_tls: Name = ""
    """`tls.crt`, `tls.key` and `ca.crt`, for the bundled server."""
    demo: Name = ""
    """`reader`, `editor` and `admin`: the passwords of the demo users."""


class Secrets(Part):
    """Where passwords come from."""

    mode: Literal["lookup", "job", "existing"] = "lookup"
    """`lookup`: Helm makes them once and finds them on upgrades. `job`: a Job
    makes them in the cluster if they are not there, for Argo CD and `helm
    template`. `existing`: you have made them."""
    existing: ExistingSecrets = ExistingSecrets()


class Budget(Part):
    """How many pods may be away for maintenance."""

    enabled: bool = True
    """Whether there is a PodDisruptionBudget, where there is a replica more
    than one."""
    max_unavailable: (
        Annotated[int, Field(ge=1, le=1000)]
        | Annotated[str, Field(pattern="^[1-9][0-9]?%$")]
    ) = 1
    """How many pods may be away at once, as a number or a share."""


class ClientService(Part):
    """The Service for clients."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """The Service's type."""
    port: Port = 80
    """The Service's port."""
    node_port: Annotated[int, Field(ge=30000, le=32767)] | None = None
    """The Service's port on every node, if its type has one."""
    annotations: Strings = empty(dict)
    """The Service's annotations."""


class App(Pods):
    """The service itself."""

    image: OurImage = OurImage(repository="gatehouse")
    replicas: Replicas = 2
    """How many pods, unless they are scaled (`autoscaling`)."""
    settings: Annotated[
        dict[Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]*$")], Scalar],
        Field(default_factory=dict),
    ]
    """The service's settings by the names in docs/settings.md, but those that
    the chart makes of other values."""
    login_enabled: bool = False
    """Whether the service's `/auth/*` exchanges passwords for tokens;
    Keycloak's client may then do so, too."""
    docs_enabled: bool = True
    """Whether `/docs`, `/console` and what they show are served."""
    pre_stop_seconds: Seconds = 5
    """How long a pod that must end is left alone first, so that everybody has
    heard of it."""
    drain_wait_seconds: Seconds = 1
    """How long HTTP is served as before, once it is told to end."""
    drain_seconds: Seconds = 10
    """The time over which its sockets are then closed, in waves."""
    termination_grace_period_seconds: Seconds | None = None
    """The longest that all of this may take; computed if not given."""
    service: ClientService = ClientService()
    disruption_budget: Budget = Budget()
    resources: Resources = resources("200m", "256Mi", "1Gi")


class Autoscaling(Part):
    """How the number of the service's pods follows the load."""

    mode: Literal["none", "hpa", "keda"] = "none"
    """`hpa`: a HorizontalPodAutoscaler, `keda`: a ScaledObject."""
    min_replicas: Count = 2
    """The fewest pods that there may be."""
    max_replicas: Count = 10
    """The most pods that there may be."""
    cpu_percent: Annotated[int, Field(ge=1, le=1000)] = 70
    """How much of the CPU that it requests a pod may use."""
    sockets_per_pod: Annotated[int, Field(ge=0)] = 0
    """How many sockets a pod may have, 0 for any number; `hpa` needs the
    metric `ws_connections_active` from an adapter."""
    scale_down_seconds: Seconds = 300
    """How long the load must be low before pods end; each sends its sockets
    elsewhere."""
    prometheus_address: Text = ""
    """Where KEDA asks for the number of sockets."""


class Migrations(Pods):
    """Who changes the schema."""

    mode: Literal["job", "init", "none"] = "job"
    """`job`: a Job of each version, `init`: the service's pods before they
    start, one after the other, `none`: you do (`python -m app migrate`)."""
    resources: Resources = resources("100m", "128Mi", "512Mi")


class OperatorRbac(Pods):
    """The operator of role maps."""

    enabled: bool = True
    """Whether this operator runs; without it the map of the image is in
    force."""
    replicas: Replicas = 2
    """How many operators of role maps run at the same time."""
    admin_role: Annotated[str, Field(min_length=1)] = "admin"
    """Whose permissions somebody must always have."""
    delete_grace_seconds: Count = 60
    """How long a map that is deleted stays in force."""
    disruption_budget: Budget = Budget()
    resources: Resources = resources("20m", "96Mi", "256Mi")


class OperatorKeycloak(Pods):
    """The operator of Keycloak: realms and clients."""

    enabled: bool = True
    """Whether this operator runs; without it the realm is yours to make."""
    compare_seconds: Count = 15
    """The time between two looks at everything in Keycloak."""
    orphan_grace_seconds: Count = 300
    """How long what has no resource any more stays in Keycloak."""
    resources: Resources = resources("20m", "96Mi", "256Mi")


class Operators(Part):
    """The operators."""

    image: OurImage = OurImage(repository="gatehouse-operator")
    rbac: OperatorRbac = OperatorRbac()
    keycloak: OperatorKeycloak = OperatorKeycloak()


class Admission(Part):
    """What the API server checks of role maps by itself."""

    enabled: bool = True
    """Whether the policies are installed, which needs the right to make
    ValidatingAdmissionPolicies (Kubernetes 1.30)."""


class Storage(Part):
    """The volume of a server; its claim is kept on uninstall."""

    size: Quantity = "8Gi"
    """The volume's size."""
    class_name: Name = ""
    """The volume's storage class; the cluster's default if empty."""


class Ca(Part):
    """Whom to trust over TLS."""

    secret: Name = ""
    """A Secret with the certificates; the system's authorities if empty."""
    key: Annotated[str, Field(pattern="^[-._a-zA-Z0-9]+$")] = "ca.crt"
    """The key of the certificates in that Secret."""


class Exporter(Pods):
    """What tells Prometheus about a bundled server."""

    enabled: bool = False
    """Whether the exporter runs."""
    image: Image
    resources: Resources = resources("10m", "32Mi", "128Mi")


class ExternalPostgres(Part):
    """A PostgreSQL of yours."""

    host: Text = ""
    """Your PostgreSQL's host."""
    port: Port = 5432
    """Your PostgreSQL's port."""
    database: Text = "gatehouse"
    """The database's name."""
    username: Text = "gatehouse"
    """Who reads and writes; the password is `db-password` of
    `secrets.existing.service`."""
    owner: Text = ""
    """Who changes the schema, if somebody else: `secrets.existing.migrations`
    has that password."""
    ssl_mode: Literal["prefer", "require", "verify-ca", "verify-full"] = (
        "prefer"
    )
    """How TLS is used, as libpq names it."""
    ca: Ca = Ca()


class OperatedPostgres(Part):
    """A `Cluster` that CloudNativePG runs."""

    instances: Count = 3
    """How many servers. A commit waits for a second one, so that nothing is
    lost with the first; of two, writes wait while one is away."""
    spec: dict[str, Any] = empty(dict)
    """More of the Cluster's spec, such as `imageName`, `backup` and
    `bootstrap`; it wins over what the chart says."""


class Postgres(Pods):
    """PostgreSQL."""

    mode: Literal["bundled", "external", "operator"] = "bundled"
    """`bundled`: one server of this release, for evaluation and small
    installations. `external`: yours. `operator`: a cluster of this release,
    which CloudNativePG runs."""
    image: Image = Image(repository="docker.io/library/postgres", tag="18")
    storage: Storage = Storage()
    external: ExternalPostgres = ExternalPostgres()
    operator: OperatedPostgres = OperatedPostgres()
    metrics: Exporter = Exporter(
        image=Image(
            repository="quay.io/prometheuscommunity/postgres-exporter",
            tag="v0.19.1",
        )
    )
    resources: Resources = resources("100m", "256Mi", "1Gi")


class ExternalRedis(Part):
    """A Redis or Valkey of yours."""

    host: Text = ""
    """Your Redis' host; with `sentinels`, what they call the primary."""
    sentinels: list[Annotated[str, Field(pattern="^[^ ,]+:[0-9]{1,5}$")]] = (
        empty(list)
    )
    """Sentinels that know the primary, each as `host:port`. Both
    `redis-password` may have a `redis-sentinel-password` beside them."""
    port: Port = 6379
    """Your Redis' port."""
    database: Annotated[int, Field(ge=0)] = 0
    """The number of the database."""
    auth_database: Annotated[int, Field(ge=0)] | None = None
    """The number of the database for ended sessions; the same if null. With
    a change, sessions that ended before are known from Keycloak's events."""
    username: Text = ""
    """The service's user, if your Redis has users; the password is
    `redis-password` of `secrets.existing.service`."""
    operator_username: Text = ""
    """The operator's user; its password is `redis-password` of
    `secrets.existing.operatorRbac`."""
    tls: bool = False
    """Whether your Redis is reached by TLS."""
    ca: Ca = Ca()


class Redis(Pods):
    """Redis, or Valkey."""

    mode: Literal["bundled", "external"] = "bundled"
    """`bundled`: one server of this release. `external`: yours."""
    image: Image = Image(repository="docker.io/valkey/valkey", tag="9")
    storage: Storage = Storage(size="2Gi")
    external: ExternalRedis = ExternalRedis()
    metrics: Exporter = Exporter(
        image=Image(
            repository="docker.io/oliver006/redis_exporter", tag="v1.82.0"
        )
    )
    resources: Resources = resources("50m", "64Mi", "512Mi")


class KeycloakDatabase(Part):
    """The database of a Keycloak of this release, if PostgreSQL is yours."""

    host: Text = ""
    """The host of Keycloak's database."""
    port: Port = 5432
    """The port of Keycloak's database."""
    name: Text = "keycloak"
    """The database's name."""
    username: Text = "keycloak"
    """Keycloak's user; the password is `db-password` of
    `secrets.existing.keycloak`."""


class ExternalKeycloak(Part):
    """A Keycloak of yours."""

    url: Url = ""
    """The address at which pods reach your Keycloak."""
    ca: Ca = Ca()


class OperatedKeycloak(Part):
    """A `Keycloak` that Keycloak's own operator runs."""

    instances: Count = 2
    """How many servers run."""
    spec: dict[str, Any] = empty(dict)
    """More of the Keycloak's spec, such as `image`; it wins over what the
    chart says."""


class Demo(Part):
    """Users to try things with."""

    enabled: bool = False
    """Whether there are users `reader`, `editor` and `admin`; the Secret
    `<release>-demo-secret` has their passwords."""


class Realm(Part):
    """The realm of the service's users."""

    create: bool = True
    """Whether the operator makes the realm, with its clients; an external
    Keycloak may have it."""
    name: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]+$")] = "gatehouse"
    """The realm's name."""
    display_name: Text = "Gatehouse"
    """The realm's name as people see it."""
    ssl_required: Literal["external", "all", "none"] = "external"
    """Which clients need TLS to reach Keycloak: those from outside, all, or
    none."""
    client_id: Annotated[str, Field(min_length=1)] = "gatehouse"
    """The client that tokens must be for."""
    redirect_uris: list[Text] = empty(list)
    """Where browsers may be sent back to; the service's own address if
    empty."""
    direct_grants: bool = False
    """Whether the client of `clientId` may exchange a password for a token at
    Keycloak's token endpoint; `app.loginEnabled` allows it, too."""
    demo: Demo = Demo()


class Host(Part):
    """One host of an Ingress."""

    enabled: bool = False
    """Whether there is an Ingress."""
    class_name: Name = ""
    """The Ingress' class; the cluster's default if empty."""
    host: Text = ""
    """The host's name; any host if empty."""
    tls_secret: Name = ""
    """The Secret with the host's certificate; no TLS if empty."""
    annotations: Strings = empty(dict)
    """Annotations, which depend on the controller."""


class Keycloak(Pods):
    """Keycloak."""

    mode: Literal["bundled", "external", "operator"] = "bundled"
    """`bundled`: one server of this release. `external`: yours. `operator`:
    servers of this release, which Keycloak's own operator runs."""
    image: Image = Image(repository="quay.io/keycloak/keycloak", tag="26.7.3")
    hostname: Url = ""
    """Keycloak's public address, such as https://login.example.com, which
    tokens name as their issuer; the address within the cluster if empty."""
    realm: Realm = Realm()
    database: KeycloakDatabase = KeycloakDatabase()
    external: ExternalKeycloak = ExternalKeycloak()
    operator: OperatedKeycloak = OperatedKeycloak()
    ingress: Host = Host()
    """An Ingress of its own; Keycloak's paths are below `/realms` and
    `/resources` there, its administration is not."""
    resources: Resources = resources("200m", "768Mi", "1536Mi")


class Ingress(Host):
    """How clients get in, by an Ingress."""

    path: Annotated[str, Field(pattern="^/")] = "/"
    """The path below which clients get in."""


class HttpRoute(Part):
    """How clients get in, by the Gateway API."""

    enabled: bool = False
    """Whether there is an HTTPRoute."""
    parent_refs: Objects = empty(list)
    """The gateways that the route belongs to."""
    hostnames: list[Text] = empty(list)
    """The hosts' names."""
    timeouts: Strings = empty(dict)
    """Timeouts, which not every gateway takes; sockets live long."""


class NetworkPolicy(Part):
    """Who may talk to whom."""

    enabled: bool = True
    """Whether there are NetworkPolicies."""
    client_from: Objects = empty(list)
    """Who may reach the service and Keycloak; everybody if empty."""
    metrics_from: Objects = empty(list)
    """Who may read metrics; everybody in the cluster if empty."""
    api_server_ports: list[Port] = Field(
        default_factory=lambda: [443, 6443, 8443]
    )
    """Where API servers listen, which operators may reach."""
    extra_egress: Objects = empty(list)
    """Where else the service's pods may go, as to a collector of traces."""


class ServiceMonitors(Part):
    """What Prometheus reads, by the Prometheus Operator."""

    enabled: bool = False
    """Whether there are ServiceMonitors."""
    interval: Annotated[str, Field(pattern="^[0-9]+(s|m)$")] = "15s"
    """How often Prometheus reads the metrics."""
    labels: Strings = empty(dict)
    """Labels by which the Prometheus finds them."""


class Rules(Part):
    """Alerts, by the Prometheus Operator."""

    enabled: bool = False
    """Whether there is a PrometheusRule."""
    labels: Strings = empty(dict)
    """Labels by which the Prometheus finds it."""
    runbook_url: Text = ""
    """The address of the runbook (`docs/runbook.md`), to which each alert adds
    `#` and its own name."""


class Dashboards(Part):
    """Dashboards, for Grafana's sidecar."""

    enabled: bool = False
    """Whether there are ConfigMaps with dashboards."""
    labels: Strings = Field(default_factory=lambda: {"grafana_dashboard": "1"})
    """Labels by which the sidecar finds them."""


class Monitoring(Part):
    """What SREs see; nothing of it needs a definition unless it is on."""

    service_monitors: ServiceMonitors = ServiceMonitors()
    rules: Rules = Rules()
    dashboards: Dashboards = Dashboards()


class Tests(Part):
    """`helm test`."""

    enabled: bool = True
    """Whether there are test pods."""


class Values(Part):
    """All values."""

    global_: Annotated[Global, Field(alias="global")] = Global()
    name_override: Name = ""
    """What names have instead of the chart's name."""
    fullname_override: Name = ""
    """What all names begin with."""
    common_labels: Strings = empty(dict)
    """More labels of everything."""
    app: App = App(settings={})
    autoscaling: Autoscaling = Autoscaling()
    migrations: Migrations = Migrations()
    operators: Operators = Operators()
    admission: Admission = Admission()
    secrets: Secrets = Secrets()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    keycloak: Keycloak = Keycloak()
    ingress: Ingress = Ingress()
    http_route: HttpRoute = HttpRoute()
    network_policy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring = Monitoring()
    tests: Tests = Tests()


def schema() -> str:
    """The JSON schema that Helm checks values with."""
    found = Values.model_json_schema(by_alias=True)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(found, indent=2) + "\n"


def values() -> str:
    """The file with every default, and what each is for."""
    return _HEADER + "\n".join(_yaml(Values(), ""))


def table() -> str:
    """The table of all values."""
    rows = ["| Value | Default | |", "|---|---|---|"]
    rows += [
        f"| `{path}` | `{json.dumps(value)}` | {_cell(text)} |"
        for path, value, text in _leaves(Values(), "")
    ]
    return "\n".join((*rows, ""))


def _fields(part: BaseModel) -> Iterator[tuple[str, Any, str]]:
    """Give all fields; what every kind of pod has comes last."""
    fields = type(part).model_fields
    for name, field in sorted(
        fields.items(), key=lambda item: item[0] in Pods.model_fields
    ):
        yield (
            field.alias or to_camel(name),
            getattr(part, name),
            " ".join((field.description or "").split()),
        )


def _yaml(part: BaseModel, indent: str) -> Iterator[str]:
    for key, value, text in _fields(part):
        is_part = isinstance(value, BaseModel)
        says = text or (type(value).__doc__ or "" if is_part else "")
        begin = f"{indent}# "
        yield from textwrap.wrap(
            says, _WIDTH, initial_indent=begin, subsequent_indent=begin
        )
        if is_part:
            yield f"{indent}{key}:"
            yield from _yaml(value, f"{indent}  ")
        else:
            yield f"{indent}{key}: {json.dumps(value)}"
        if not indent:
            yield ""


def _leaves(part: BaseModel, path: str) -> Iterator[tuple[str, Any, str]]:
    for key, value, text in _fields(part):
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value, text


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def main() -> None:
    """Write everything that is made of the values."""
    (CHART / "values.schema.json").write_text(schema(), "utf-8")
    (CHART / "values.yaml").write_text(values(), "utf-8")
    readme = CHART / "README.md"
    before, _, _ = readme.read_text("utf-8").partition(_TABLE_BEGIN)
    readme.write_text(f"{before}{_TABLE_BEGIN}\n{table()}", "utf-8")


if __name__ == "__main__":
    main()
