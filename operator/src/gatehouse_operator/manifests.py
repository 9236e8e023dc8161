"""What Kubernetes needs to run the operator of role maps.

`operator/deploy` has these as files, for those who do without Helm. The rules
are all that the operator asks for, and no more: it reads role maps, writes
none but the first, and may change nothing but what it has compiled.
"""

from collections.abc import Iterator
from typing import Any

from gatehouse_operator.settings import PROBE_PORT, compiled_name

Manifest = dict[str, Any]

_USER = 10001
"""That of the image."""


def role_map_manifests(
    namespace: str, release: str, image: str
) -> Iterator[Manifest]:
    """Give everything, in the order in which it is to be made.

    Args:
        namespace: Where the operator is to run, and keeps maps.
        release: Begins all names.
        image: The operator's.
    """
    name = f"{release}-operator-rbac"
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {
            "app.kubernetes.io/name": "gatehouse",
            "app.kubernetes.io/instance": release,
            "app.kubernetes.io/component": "operator-rbac",
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": _rules(release),
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
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": metadata["labels"]},
            "template": {
                "metadata": {"labels": metadata["labels"]},
                "spec": _pod(name, release, image),
            },
        },
    }


def _rules(release: str) -> list[Manifest]:
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    compiled = [compiled_name(release)]
    return [
        # Role maps are found by their label; a new name has no rule yet.
        {**maps, "verbs": ["list", "watch", "create"]},
        {**maps, "resourceNames": compiled, "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]


def _pod(name: str, release: str, image: str) -> Manifest:
    secret = f"{release}-operator-rbac"
    return {
        "serviceAccountName": name,
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
                "command": ["python", "-m", "gatehouse_operator.main_rbac"],
                "env": [
                    {
                        "name": "NAMESPACE",
                        "valueFrom": {
                            "fieldRef": {"fieldPath": "metadata.namespace"}
                        },
                    },
                    {"name": "RELEASE", "value": release},
                    _from_secret("RBAC_SIGNING_KEY", secret, "signing-key"),
                    _from_secret("REDIS_URL", secret, "redis-url"),
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


def _from_secret(variable: str, secret: str, key: str) -> Manifest:
    reference = {"name": secret, "key": key}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _probe(path: str, *, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "probes"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
