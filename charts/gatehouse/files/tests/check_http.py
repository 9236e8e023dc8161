"""Who has no token is refused; who may read and write does both."""

import uuid

import httpx
from client import URL, http

refused = httpx.get(f"{URL}/authors", timeout=30)
assert refused.status_code == httpx.codes.UNAUTHORIZED, refused

with http() as client:
    me = client.get("/me").raise_for_status().json()
    name = f"Tested by Helm {uuid.uuid4()}"
    made = client.post("/authors", json={"name": name}).raise_for_status()
    author = f"/authors/{made.json()['id']}"
    assert client.get(author).raise_for_status().json()["name"] == name
    client.delete(author).raise_for_status()
    gone = client.get(author)
    assert gone.status_code == httpx.codes.NOT_FOUND, gone
print(f"HTTP: read and wrote as {me['username']}")
