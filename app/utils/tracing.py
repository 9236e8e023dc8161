"""Spans: of a request one of FastAPI's, of a socket's message one of ours.

A span is named by the route or the message, never by a path. It has no
query, body or user, and of what a client sent no header but `Host` and those
of the trace itself.

A socket may be open for days, so a message is no part of the span of its
handshake. It begins a trace of its own, which is linked to that.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode, Tracer

from app.api.ws.constants import RSPCode
from app.constants import PROBES
from app.schemas.message import ResponseModel


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Say whether this is a question about the process itself."""
    return scope["path"] in PROBES


def current_trace() -> dict[str, str]:
    """Return the ids of the span of this moment, for logs."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


class Messages:
    """The spans of the messages of one socket, made during its handshake.

    Args:
        tracer: Makes them.
    """

    __slots__ = ("_links", "_tracer")

    def __init__(self, tracer: Tracer) -> None:
        handshake = trace.get_current_span().get_span_context()
        self._tracer = tracer
        self._links = [Link(handshake)] if handshake.is_valid else []

    async def traced(
        self,
        answer: Awaitable[ResponseModel],
        name_of: Callable[[int | None], str],
    ) -> ResponseModel:
        """Answer a message in a span of its own.

        Args:
            answer: Answers it.
            name_of: Says what a `pkg_id` is called.
        """
        with self._tracer.start_as_current_span(
            "ws",
            context=Context(),
            kind=SpanKind.SERVER,
            links=self._links,
            record_exception=False,
        ) as span:
            reply = await answer
            span.update_name(f"ws {name_of(reply.pkg_id)}")
            span.set_attribute("gatehouse.status_code", reply.status_code)
            if reply.status_code is RSPCode.ERROR:
                span.set_status(StatusCode.ERROR)
        return reply
