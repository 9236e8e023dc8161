"""What Kubernetes needs to run the operators.

`operator/deploy` has these as files, for those who do without Helm. Each
operator has an account of its own, with the rules that it uses and no more,
so that neither has the other's rights: the one of role maps may change
nothing but what it has compiled, and the one of Keycloak no role map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gatehouse_operator.admission import VIRTUAL
from gatehouse_operator.resources.base import GROUP
from gatehouse_operator.settings import (
    PROBE_PORT,
    compiled_name,
    editable_name,
)

Manifest = dict[str, Any]

_USER: Final = 10001
"""That of the image."""
DELETION_COST_RULES: Final[Sequence[Manifest]] = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
)
"""What the operator of role maps may do as well where it says what ending a
pod costs; an admission policy limits it to that annotation."""
_KINDS: Final = ("keycloakclients", "keycloakrealms")


@dataclass(frozen=True)
class _Operator:
    """One of the operators.

    Args:
        component: Its name in a release.
        module: What is run.
        rules: What its account may do.
        env: Its settings, but those that both have.
        replicas: How many run at the same time.
    """

    component: str
    module: str
    rules: Sequence[Manifest]
    env: Sequence[Manifest]
    replicas: int


def role_map_manifests(
    namespace: str, release: str, image: str
) -> Iterator[Manifest]:
    """Give what the operator of role maps needs.

    Args:
        namespace: Where it is to run, and keeps maps.
        release: Begins all names.
        image: The operator's.
    """
    secret = f"{release}-operator-rbac"
    operator = _Operator(
        component="operator-rbac",
        module="gatehouse_operator.main_rbac",
        rules=role_map_rules(release),
        env=[
            _from_secret("RBAC_SIGNING_KEY", secret, "signing-key"),
            _from_secret("REDIS_URL", secret, "redis-url"),
        ],
        replicas=2,
    )
    return _manifests(operator, namespace, release, image)


def keycloak_manifests(
    namespace: str, release: str, image: str
) -> Iterator[Manifest]:
    """Give what the operator of Keycloak needs, but its definitions.

    Args:
        namespace: Where it is to run, and keeps realms and clients.
        release: Begins all names.
        image: The operator's.
    """
    secret = f"{release}-operator-keycloak"
    operator = _Operator(
        component="operator-keycloak",
        module="gatehouse_operator.main_keycloak",
        rules=keycloak_rules(release),
        env=[
            _from_secret("KEYCLOAK_BASE_URL", secret, "base-url"),
            *(
                _from_secret(f"KEYCLOAK_{name}", secret, key, optional=True)
                for name, key in (
                    ("CLIENT_SECRET", "client-secret"),
                    ("BOOTSTRAP_CLIENT_ID", "bootstrap-client-id"),
                    ("BOOTSTRAP_CLIENT_SECRET", "bootstrap-client-secret"),
                )
            ),
        ],
        replicas=1,
    )
    return _manifests(operator, namespace, release, image)


def role_map_rules(release: str) -> list[Manifest]:
    """Return what the operator of role maps may do."""
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    compiled = [compiled_name(release)]
    return [
        # Role maps are found by their label; a new name has no rule yet.
        {**maps, "verbs": ["list", "watch", "create"]},
        {**maps, "resourceNames": compiled, "verbs": ["get", "patch"]},
        # What the admission policy asks of whoever edits a map: the first
        # one is made by the operator.
        {
            "apiGroups": [GROUP],
            "resources": [VIRTUAL],
            "resourceNames": [editable_name(release)],
            "verbs": ["update"],
        },
        {
            "apiGroups": [GROUP],
            "resources": ["rbacstates"],
            "verbs": ["create"],
        },
        {
            "apiGroups": [GROUP],
            "resources": ["rbacstates"],
            "resourceNames": [release],
            "verbs": ["get"],
        },
        {
            "apiGroups": [GROUP],
            "resources": ["rbacstates/status"],
            "resourceNames": [release],
            "verbs": ["patch"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]


def keycloak_rules(release: str) -> list[Manifest]:
    """Return what the operator of Keycloak may do."""
    return [
        {
            "apiGroups": [GROUP],
            "resources": list(_KINDS),
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": [GROUP],
            "resources": [f"{kind}/status" for kind in _KINDS],
            "verbs": ["patch"],
        },
        # A client's Secret has the name that its spec gives.
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        },
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [compiled_name(release)],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]


def _manifests(
    operator: _Operator, namespace: str, release: str, image: str
) -> Iterator[Manifest]:
    """Give everything, in the order in which it is to be made."""
    name = f"{release}-{operator.component}"
    labels = {
        "app.kubernetes.io/name": "gatehouse",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": operator.component,
    }
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": list(operator.rules),
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": name,
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        ],
    }
    spec: Manifest = {
        "replicas": operator.replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": _pod(operator, name, release, image),
        },
    }
    if operator.replicas == 1:  # never two at a time
        spec["strategy"] = {"type": "Recreate"}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": spec,
    }


def _pod(
    operator: _Operator, account: str, release: str, image: str
) -> Manifest:
    namespace = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return {
        "serviceAccountName": account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "operator",
                "image": image,
                "command": ["python", "-m", operator.module],
                "env": [
                    {"name": "NAMESPACE", "valueFrom": namespace},
                    {"name": "RELEASE", "value": release},
                    *operator.env,
                ],
                "ports": [{"name": "probes", "containerPort": PROBE_PORT}],
                "livenessProbe": _probe("/livez", failures=6),
                "readinessProbe": _probe("/readyz", failures=3),
                "resources": {
                    "requests": {"cpu": "20m", "memory": "96Mi"},
                    "limits": {"memory": "256Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
            }
        ],
    }


def _from_secret(
    variable: str, secret: str, key: str, *, optional: bool = False
) -> Manifest:
    reference: Manifest = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _probe(path: str, *, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "probes"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
