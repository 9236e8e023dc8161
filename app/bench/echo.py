"""The least that a server can do, which everything else is compared with."""

from starlette.types import Receive, Scope, Send

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"4")]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each message back; answer every request with four bytes."""
    message = await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["type"] == "http":
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"echo"})
    else:
        await send({"type": f"{message['type']}.complete"})
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
