"""What a span says of a request: never more than its route."""

from typing import Final

from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send

from app.utils.metrics import UNMATCHED

_LEFT_OUT: Final = "-"
"""In the place of what a client may have put a secret into."""


class SpanNameMiddleware:
    """Names a request's span by its route, whoever answers it.

    FastAPI would name it when the endpoint is found, which a request that is
    refused never gets to, and would tell path and query.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            span = trace.get_current_span()
            place = scope["state"]["place"]
            name = place.template if place else UNMATCHED
            span.update_name(f"{scope['method']} {name}")
            span.set_attribute("http.route", name)
            span.set_attribute("url.path", name)
            if scope["query_string"]:
                span.set_attribute("url.query", _LEFT_OUT)
        await self.app(scope, receive, send)
