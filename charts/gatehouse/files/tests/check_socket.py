"""A socket is answered, and pushed what others change."""

import json
import uuid

from client import http, received, socket

_ME = 12
_AUTHORS_CHANGED = 100

with socket() as ws, http() as client:
    request = {"pkg_id": _ME, "req_id": str(uuid.uuid4()), "data": {}}
    ws.send(json.dumps(request))
    reply = received(ws, req_id=request["req_id"])
    assert reply["status_code"] == 0, reply
    body = {"name": f"Tested by Helm {uuid.uuid4()}"}
    made = client.post("/authors", json=body).raise_for_status().json()
    received(ws, pkg_id=_AUTHORS_CHANGED)
    client.delete(f"/authors/{made['id']}").raise_for_status()
print("socket: answered and pushed to")
