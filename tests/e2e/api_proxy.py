"""A wire to the API server that can be at fault, and remembers what is asked.

It speaks HTTP to whoever has a kubeconfig of it, and TLS to the API server.
Its faults are those that clients of Kubernetes meet with:

- `cut`: every connection that is open ends.
- `stall`: watches are open, and nothing is told, until `release`.
- `expire`: every watch is told that it is too old (410), once.
- `refuse`: the next requests that write are answered with a status.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, TCPConnector, web

_VERBS: Final = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_HOP: Final = frozenset(
    {"connection", "host", "keep-alive", "transfer-encoding"}
)
_GONE: Final = {
    "type": "ERROR",
    "object": {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": "Expired",
        "message": "too old resource version",
        "code": HTTPStatus.GONE,
    },
}


@dataclass(frozen=True)
class Call:
    """What was asked of the API server, in the words of a Role."""

    verb: str
    group: str
    resource: str
    name: str
    status: int


class ApiProxy:
    """Passes requests on to the API server.

    Args:
        config: A kubeconfig, as JSON has it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        authority = cluster.get("certificate-authority-data")
        if authority is None:
            path = Path(cluster["certificate-authority"])
            self._authority = path.read_text("utf-8")
        else:
            self._authority = base64.b64decode(authority).decode()
        self.calls: list[Call] = []
        self._refusals: list[int] = []
        self._watches: set[asyncio.Event] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.Transport] = set()
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator["ApiProxy"]:
        """Serve until the block is left."""
        context = ssl.create_default_context(cadata=self._authority)
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with ClientSession(
            connector=TCPConnector(ssl=context), auto_decompress=False
        ) as self._session:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                self.release()
                self.cut()
                await runner.cleanup()

    def cut(self) -> None:
        """End every connection."""
        for transport in self._open:
            transport.abort()

    def stall(self) -> None:
        """Tell watches nothing."""
        self._flows.clear()

    def release(self) -> None:
        """Tell watches what there is, and refuse nothing."""
        self._flows.set()
        self._refusals.clear()

    def expire(self) -> None:
        """Tell every watch that it is too old."""
        for watch in self._watches:
            watch.set()

    def refuse(self, status: int, times: int) -> None:
        """Answer the next writes with this."""
        self._refusals += [status] * times

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        self._open.add(transport)
        try:
            return await self._answer(request)
        finally:
            self._open.discard(transport)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self._refusals and request.method in _VERBS:
            status = self._refusals.pop(0)
            body = {"kind": "Status", "status": "Failure", "code": status}
            later = {"Retry-After": "1"}
            return web.json_response(body, status=status, headers=later)
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in _HOP
        }
        async with self._session.request(
            request.method,
            self._server + request.path_qs,
            headers=headers,
            data=await request.read() or None,
        ) as answer:
            self._note(request, answer.status)
            headers = {
                key: value
                for key, value in answer.headers.items()
                if key.lower() not in _HOP
            }
            stream = web.StreamResponse(status=answer.status, headers=headers)
            await stream.prepare(request)
            with suppress(ConnectionError):
                await self._copy(request, answer.content, stream)
            return stream

    async def _copy(
        self, request: web.Request, source: Any, sink: web.StreamResponse
    ) -> None:
        if request.query.get("watch") not in {"true", "1"}:
            async for chunk in source.iter_any():
                await sink.write(chunk)
            return
        expires = asyncio.Event()
        self._watches.add(expires)
        try:
            await self._watch(source, sink, expires)
        finally:
            self._watches.discard(expires)

    async def _watch(
        self, source: Any, sink: web.StreamResponse, expires: asyncio.Event
    ) -> None:
        expiry = asyncio.ensure_future(expires.wait())
        while True:
            read = asyncio.ensure_future(source.readline())
            await asyncio.wait(
                {read, expiry}, return_when=asyncio.FIRST_COMPLETED
            )
            if expiry.done():
                read.cancel()
                await sink.write(json.dumps(_GONE).encode() + b"\n")
                return
            line = read.result()
            await self._flows.wait()
            if not line:
                expiry.cancel()
                return
            await sink.write(line)

    def _note(self, request: web.Request, status: int) -> None:
        parts = request.path.strip("/").split("/")
        if "namespaces" not in parts:
            return  # what there is to ask for, which everybody may read
        at = parts.index("namespaces")
        group = parts[1] if parts[0] == "apis" else ""
        resource, *rest = parts[at + 2 :]
        name = rest[0] if rest else ""
        if len(rest) > 1:
            resource += f"/{rest[1]}"
        verb = _VERBS.get(request.method)
        if verb is None:
            is_watch = request.query.get("watch") in {"true", "1"}
            verb = "get" if name else "watch" if is_watch else "list"
        self.calls.append(Call(verb, group, resource, name, status))
