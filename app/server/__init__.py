"""How this service speaks HTTP/1.1 and WebSocket: uvicorn, made strict.

uvicorn does the work; the two subclasses here close the gaps that a client
can fall into or push at. Development, tests and production all run them,
configured in one place, `uvicorn_options`.

**Waiting.** Whenever the next move is the client's there is a deadline, and
bytes that trickle in do not move it: `HEADER_TIMEOUT_SECONDS` for a head,
`BODY_TIMEOUT_SECONDS` for a body, uvicorn's keep-alive in between. A request
that comes in one packet, as nearly all do, never starts a timer.

**Size.** A head has at most `MAX_HEADER_BYTES`. An unfinished one is refused
by `_unparsed`, what came since the parser last got something done: never
more than the head has, because a packet that also ended the message before
is not counted. A finished one is measured header by header, but only if it
came in packets that add up to too much.

**Refusing.** A refusal is a problem document. It waits for the answers to
requests that came before it, then the connection lingers: we say that we
have finished, drop what still comes, and close when the client does or time
is up. Closing at once, with bytes unread, would make the kernel send a reset
that can overtake the answer.

**Handshakes.** The HTTP parser has read the handshake already, so the socket
takes it from there; websockets' own parser, its limit of 8 KiB a line and
its silence about what it refuses are left out. What websockets then refuses
is a problem document too, which does not quote the header that was wrong:
it may be a token.

**Room.** `app.server.admission` tells who is refused when descriptors or CPU
run short.

**Ending.** `app.server.drain` tells how a process ends, `process` is the
server that does it, and `worker` is what gunicorn runs.
"""

import socket
import sys
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from app import constants as c
from app.apps import folders
from app.server.admission import raise_file_limit
from app.server.http import HTTPProtocol
from app.server.process import Server
from app.server.websocket import WebSocketProtocol
from app.settings import ConfigurationError, Settings

APPLICATION = "app:application"


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Configure uvicorn, however it is started.

    That is every argument of `uvicorn.Config` that this service sets, but
    the application and its address; also gunicorn's `CONFIG_KWARGS`.
    """
    return {
        "http": HTTPProtocol,
        "ws": WebSocketProtocol,
        "ws_max_size": settings.ws_max_message_bytes,
        "ws_per_message_deflate": False,
        "ws_ping_interval": c.WS_PING_SECONDS,
        "loop": "auto",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": c.KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": c.SHUTDOWN_TIMEOUT_SECONDS,
    }


def ports_of(port: int, settings: Settings) -> list[int]:
    """Return the ports to bind: the clients', and that of the management.

    Raises:
        ConfigurationError: They are one and the same, or there is no such.
    """
    if not 0 <= port < 1 << 16:
        raise ConfigurationError(f"PORT: {port} is not from 0 to 65535")
    if settings.management_port is None:
        return [port]
    if settings.management_port == port:
        raise ConfigurationError(
            f"MANAGEMENT_PORT: {port} is the port of the clients, too"
        )
    return [port, settings.management_port]


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    reload: bool = False,
    app: str = APPLICATION,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: Those that configure the server.
        host: The address to listen on.
        port: The port to listen on.
        reload: Start again whenever a Python file of ours changes, or of an
            installed package; processes do not take their time to end.
        app: Import string of the application's factory.

    Raises:
        ConfigurationError: See `ports_of`, and `app.apps.installed`.
        SystemExit: The address is taken or the application did not start.
    """
    sockets = [_bind(host, p) for p in ports_of(port, settings)]
    raise_file_limit()
    config = uvicorn.Config(
        app,
        factory=True,
        reload=reload,
        reload_dirs=[str(f) for f in folders()] if reload else None,
        **uvicorn_options(settings),
    )
    server = Server(config, patient=not reload)
    if reload:
        ChangeReload(config, target=server.run, sockets=sockets).run()
        return
    server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET
    )
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.exit(f"Port {port} of {host} cannot be had: {error.strerror}")
    return listener
