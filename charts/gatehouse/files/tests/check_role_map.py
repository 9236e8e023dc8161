"""An edit of the role map is told to an open socket."""

import json
import os
import ssl
import time
from pathlib import Path

import httpx
from client import received, socket

_PERMISSIONS_CHANGED = 102
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

namespace = (_ACCOUNT / "namespace").read_text()
path = f"/api/v1/namespaces/{namespace}/configmaps/{os.environ['ROLE_MAP']}"
context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
# Authorities of API servers are often older than what Python 3.13 insists on.
context.verify_flags &= ~ssl.VERIFY_X509_STRICT
api = httpx.Client(
    base_url="https://kubernetes.default.svc",
    verify=context,
    headers={
        "Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}",
        "Content-Type": "application/merge-patch+json",
    },
    timeout=30,
)


def edit(text: str | None) -> None:
    """Set the lines of a role that nobody has."""
    patch = {"data": {"tested-by-helm": text}}
    api.patch(path, content=json.dumps(patch)).raise_for_status()


with socket() as ws:
    began = time.monotonic()
    edit("ws ME\n")
    try:
        received(ws, pkg_id=_PERMISSIONS_CHANGED)
        spent = time.monotonic() - began
    finally:
        edit(None)
print(f"role map: in force, and told, after {1000 * spent:.0f} ms")
