"""The AsyncAPI document: the protocol of `/web`, from what it runs on.

AsyncAPI 3 tells it from the service's side: a request is a message that the
service receives, with its reply; a push is one that it sends. Everything is
read from the tables that messages are dispatched by, so that the document
says of an installed package what it says of ours.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from app import __version__
from app.api.ws.constants import CloseCode, Explained, RSPCode
from app.api.ws.consumers.web import ENDPOINTS
from app.api.ws.envelope import UUID_PATTERN
from app.api.ws.message_schemas import (
    PREFIX,
    JsonSchema,
    MessageSchemas,
)
from app.constants import (
    PUSH_REQ_ID,
    WS_AUTH_TIMEOUT_SECONDS,
    WS_SUBPROTOCOL,
    WS_TOKEN_SUBPROTOCOL_PREFIX,
)
from app.routing import Package, PackageRouter

if TYPE_CHECKING:
    from app.managers.rbac_manager import RBACManager

_CHANNEL: Final = "web"
_MESSAGES: Final = f"#/channels/{_CHANNEL}/messages/"
_ERROR: Final = "error"

_ABOUT: Final = """\
A request is `{"pkg_id", "req_id", "data"}`, as text. Each is answered exactly
once, by `{"pkg_id", "req_id", "status_code", "data", "meta"}` with its own
`pkg_id` and `req_id`; replies may overtake each other. What is not done is
answered by the message `error`, with null for what could not be read.

A push has the same fields, and a `req_id` of zeros. `SUBSCRIBE` with the
`meta` of the last push seen brings those that were missed.

`x-required-roles` is any one of the listed roles (`a & b` is both), `*` for
every signed-in user, nothing for a public message; of a push, whoever may
read the same by a request. A message with `x-writes` is done once for a
`req_id`: the same one within 24 hours has the first reply again.
"""

_HANDSHAKE: Final = f"""\
The token comes in the first of these ways that is used: the header
`Authorization`; the subprotocols `{WS_SUBPROTOCOL}, \
{WS_TOKEN_SUBPROTOCOL_PREFIX}<token>`; the query's `Authorization`; else the
message `AUTHENTICATE`, within {WS_AUTH_TIMEOUT_SECONDS:g} seconds \
(`WS_AUTH_TIMEOUT_SECONDS`). `AUTHENTICATE`
on an open socket renews the token.

A handshake is refused over HTTP, with a problem document: 401 for a bad
token, 403 for a page of another site, 429 and 503 with `Retry-After`.
"""

_REQ_ID: Final[JsonSchema] = {
    "type": "string",
    # What JavaScript knows, too.
    "pattern": UUID_PATTERN.replace(r"\Z", "$"),
    "description": "A UUID that the client makes for each request.",
}

_BINDING: Final[JsonSchema] = {
    "method": "GET",
    "headers": {
        "type": "object",
        "properties": {
            "Authorization": {
                "type": "string",
                "description": "`Bearer <token>`",
            },
            "Sec-WebSocket-Protocol": {
                "type": "string",
                "description": f"`{WS_SUBPROTOCOL}, "
                f"{WS_TOKEN_SUBPROTOCOL_PREFIX}<token>`, for browsers; only"
                f" `{WS_SUBPROTOCOL}` is selected.",
            },
            "Origin": {
                "type": "string",
                "description": "A browser's; the service's own, or one of"
                " `WS_ALLOWED_ORIGINS`.",
            },
        },
    },
    "query": {
        "type": "object",
        "properties": {
            "Authorization": {
                "type": "string",
                "description": "`Bearer <token>`, where"
                " `WS_QUERY_TOKEN_ENABLED` lets it be looked at.",
            }
        },
    },
    "bindingVersion": "0.1.0",
}


def asyncapi_document(
    router: PackageRouter, rbac: "RBACManager"
) -> dict[str, Any]:
    """Describe the messages of the socket, and who may send them now.

    Args:
        router: The messages that are understood, and the pushes.
        rbac: Knows the roles that they need.
    """
    schemas = MessageSchemas(router)
    messages: dict[str, Any] = {_ERROR: _error(schemas)}
    operations: dict[str, Any] = {}
    for package in router:
        name = package.name
        messages[f"{name}.request"] = _request(package, schemas)
        messages[f"{name}.reply"] = _reply(package, schemas)
        operations[f"receive.{name}"] = _receive(package, rbac)
    for pkg_id, read in router.pushes.items():
        messages[f"{pkg_id.name}.push"] = _push(pkg_id, schemas)
        operations[f"send.{pkg_id.name}"] = _send(pkg_id, read, rbac)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gatehouse",
            "version": __version__,
            "description": _ABOUT,
        },
        "defaultContentType": "application/json",
        "channels": {_CHANNEL: _channel(messages)},
        "operations": operations,
        "components": {
            "schemas": schemas.components | _fields(router),
            "messages": messages,
            "correlationIds": {
                "req_id": {
                    "location": "$message.payload#/req_id",
                    "description": "A reply has its request's.",
                }
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                }
            },
        },
    }


def _channel(messages: Iterable[str]) -> dict[str, Any]:
    (address,) = ENDPOINTS
    return {
        "address": address,
        "description": _HANDSHAKE,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in messages
        },
        "bindings": {"ws": _BINDING},
        "x-close-codes": [
            {"code": int(code), "name": code.name, "description": code.meaning}
            for code in CloseCode
        ],
    }


def _fields(router: PackageRouter) -> dict[str, JsonSchema]:
    """Describe fields of every message; no class is named as they are."""
    numbers = {package.pkg_id for package in router} | set(router.pushes)
    return {
        "req_id": _REQ_ID,
        "pkg_id": {
            "type": "integer",
            "description": "What a message is about.",
            "oneOf": [
                {"const": int(pkg_id), "title": pkg_id.name}
                for pkg_id in sorted(numbers)
            ],
        },
        "status_code": _explained(RSPCode),
    }


def _explained(enum: type[Explained]) -> JsonSchema:
    return {
        "type": "integer",
        "description": enum.__doc__,
        "oneOf": [
            {
                "const": int(code),
                "title": code.name,
                "description": code.meaning,
            }
            for code in enum
        ],
    }


def _request(package: Package, schemas: MessageSchemas) -> dict[str, Any]:
    return _message(
        package.name,
        pkg_id=_constant(package.pkg_id),
        req_id=_ref("req_id"),
        data=schemas.request(package),
    )


def _reply(package: Package, schemas: MessageSchemas) -> dict[str, Any]:
    return _message(
        package.name,
        pkg_id=_constant(package.pkg_id),
        req_id=_ref("req_id"),
        status_code=_constant(RSPCode.OK),
        data=schemas.reply(package),
        meta=schemas.reply_meta(package),
    )


def _error(schemas: MessageSchemas) -> dict[str, Any]:
    return _message(
        _ERROR,
        pkg_id={"type": ["integer", "null"]},
        req_id={"anyOf": [_ref("req_id"), {"type": "null"}]},
        status_code={
            "allOf": [_ref("status_code"), {"not": _constant(RSPCode.OK)}]
        },
        data=schemas.error,
        meta={"type": "null"},
    )


def _push(pkg_id: IntEnum, schemas: MessageSchemas) -> dict[str, Any]:
    broadcast = {
        "type": "object",
        "description": "What `POST /broadcast` was given instead.",
    }
    return _message(
        pkg_id.name,
        pkg_id=_constant(pkg_id),
        req_id={"const": PUSH_REQ_ID},
        status_code=_constant(RSPCode.OK),
        data={"anyOf": [schemas.push(pkg_id), broadcast]},
        meta=schemas.position,
    )


def _message(name: str, **properties: JsonSchema) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "correlationId": {"$ref": "#/components/correlationIds/req_id"},
        "payload": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
        },
    }


def _receive(package: Package, rbac: "RBACManager") -> dict[str, Any]:
    name = package.name
    replies = (f"{name}.reply", _ERROR)
    operation = {
        "action": "receive",
        **_about(package),
        **_carries(f"{name}.request"),
        "reply": _carries(*replies),
        "x-writes": package.writes,
    }
    if package.public:
        return operation
    return operation | _needs(rbac.required_ws_roles(package.pkg_id))


def _send(
    pkg_id: IntEnum, read: IntEnum | None, rbac: "RBACManager"
) -> dict[str, Any]:
    roles = "*" if read is None else rbac.required_ws_roles(read)
    operation = {"action": "send", **_carries(f"{pkg_id.name}.push")}
    return operation | _needs(roles)


def _about(package: Package) -> dict[str, str]:
    """Say what the handler's own first line says, if it has one."""
    lines = (package.handler.__doc__ or "").strip().splitlines()
    return {"summary": lines[0]} if lines else {}


def _carries(*messages: str) -> dict[str, Any]:
    return {
        "channel": {"$ref": f"#/channels/{_CHANNEL}"},
        "messages": [{"$ref": f"{_MESSAGES}{name}"} for name in messages],
    }


def _needs(roles: str | list[str]) -> dict[str, Any]:
    return {
        "security": [{"$ref": "#/components/securitySchemes/token"}],
        "x-required-roles": roles,
    }


def _constant(member: IntEnum) -> JsonSchema:
    return {"const": int(member), "title": member.name}


def _ref(name: str) -> JsonSchema:
    return {"$ref": f"{PREFIX}{name}"}
