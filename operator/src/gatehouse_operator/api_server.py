"""The way to the API server, for kopf and for ourselves.

From Python 3.13 on TLS refuses an authority whose certificate does not say
what its key is for (RFC 5280, 4.2.1.3). The authorities of many clusters do
not, and Kubernetes' own clients never ask, so neither do we: that one check
is left out, and all others are made.
"""

import dataclasses
import ssl
from typing import Any

import httpx2
import kopf
from lightkube import AsyncClient, KubeConfig, SingleConfig
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError


def config() -> SingleConfig:
    """Return how the API server is reached: a pod's account, or KUBECONFIG.

    Raises:
        ConfigError: There is neither.
    """
    found = KubeConfig.from_env().get()
    if found is None:
        raise ConfigError("KUBECONFIG names no cluster")
    return found


def client(namespace: str, manager: str) -> AsyncClient:
    """Return a client of one namespace.

    Args:
        namespace: Which.
        manager: Who writes, in `managedFields`.

    Raises:
        ConfigError: Nobody says where the API server is.
    """
    ours = config()
    context = verify_cluster(
        ours.cluster, ours.user or User(), ours.abs_file, trust_env=True
    )
    return AsyncClient(
        config=ours,
        namespace=namespace,
        field_manager=manager,
        transport=httpx2.AsyncHTTPTransport(verify=_lenient(context)),
    )


class Connection(kopf.ConnectionInfo):
    """kopf's way to the API server."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return what kopf would, without that one check."""
        return _lenient(super().as_ssl_context())


def login(**arguments: Any) -> Connection | None:
    """Log kopf in, as it would by itself."""
    found = kopf.login_with_service_account(
        **arguments
    ) or kopf.login_with_kubeconfig(**arguments)
    if found is None:
        return None
    names = [field.name for field in dataclasses.fields(found)]
    return Connection(**{name: getattr(found, name) for name in names})


def _lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
