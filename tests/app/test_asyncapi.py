"""The service does over the socket what its AsyncAPI document says."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from jsonschema import Draft7Validator
from websockets.asyncio.client import ClientConnection

from app.api.ws.asyncapi import asyncapi_document
from app.api.ws.constants import CloseCode, Explained, PkgID, RSPCode
from app.managers.rbac_manager import Catalogue, RBACManager
from app.routing import Context, PackageRouter, collect_pkg_routers
from app.schemas.message import RequestModel, ResponseModel
from app.storage.redis import RRedis
from tests.fixtures.pushes import next_pushes
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import next_reply, open_socket, request

Document: TypeAlias = dict[str, Any]
SignIn = Callable[[str], str]
ROLE_MAP = Path("actions.json").read_text()
ROUTER = collect_pkg_routers(["app.api"])

# What AsyncAPI 3.0.0 lets each object have, as far as the document has it:
# the fields that must be there, and those that may.
FIELDS = {
    "document": (
        {"asyncapi", "info"},
        {"channels", "operations", "components", "defaultContentType"},
    ),
    "info": ({"title", "version"}, {"description"}),
    "components": (
        set(),
        {"schemas", "messages", "correlationIds", "securitySchemes"},
    ),
    "channel": ({"address"}, {"description", "messages", "bindings"}),
    "ws": (set(), {"method", "query", "headers", "bindingVersion"}),
    "operation": (
        {"action", "channel"},
        {"summary", "messages", "reply", "security"},
    ),
    "reply": (set(), {"channel", "messages"}),
    "message": (set(), {"name", "title", "correlationId", "payload"}),
    "correlation id": ({"location"}, {"description"}),
    "scheme": ({"type", "scheme"}, {"bearerFormat"}),
}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> Document:
    """The document, as the service serves it to anybody."""
    answer = await client.get("/asyncapi.json")
    assert (200, "application/json") == (
        answer.status_code,
        answer.headers["content-type"],
    )
    found: Document = answer.json()
    return found


def objects(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object of the document that has fields of its own, by kind."""
    components = document["components"]
    yield "document", document
    yield "info", document["info"]
    yield "components", components
    for channel in document["channels"].values():
        yield "channel", channel
        yield "ws", channel["bindings"]["ws"]
    for operation in document["operations"].values():
        yield "operation", operation
        if "reply" in operation:
            yield "reply", operation["reply"]
    for kind, place in (
        ("message", "messages"),
        ("correlation id", "correlationIds"),
        ("scheme", "securitySchemes"),
    ):
        for found in components[place].values():
            yield kind, found


def references(value: Any) -> Iterator[str]:
    """Every `$ref` anywhere in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolve(document: Document, reference: str) -> Any:
    """What a reference into the document points at."""
    assert reference.startswith("#/")
    found: Any = document
    for part in reference[2:].split("/"):
        found = found[part]
    return found


def payload(document: Document, message: str) -> Document:
    """The schema of a message's payload, which can stand alone."""
    schema: Document = document["components"]["messages"][message]["payload"]
    return {**schema, "components": document["components"]}


def faults(document: Document, message: str, value: Any) -> list[str]:
    """What the document says is wrong with a message."""
    validator = Draft7Validator(payload(document, message))
    return [error.message for error in validator.iter_errors(value)]


def push_faults(document: Document, push: Any) -> list[str]:
    """What is wrong with a push that is no broadcast."""
    message = f"{PkgID(push['pkg_id']).name}.push"
    schema = payload(document, message)
    own, _ = schema["properties"]["data"]["anyOf"]
    strict = {"allOf": [own], "components": schema["components"]}
    found = Draft7Validator(strict).iter_errors(push["data"])
    return faults(document, message, push) + [e.message for e in found]


def numbers(document: Document, action: str) -> list[int]:
    """The numbers of the messages of all operations of a kind."""
    return [
        resolve(document, resolve(document, carried["$ref"])["$ref"])[
            "payload"
        ]["properties"]["pkg_id"]["const"]
        for operation in document["operations"].values()
        if operation["action"] == action
        for carried in operation["messages"]
    ]


def test_objects_have_the_fields_of_asyncapi(document: Document) -> None:
    """Every field is the specification's or an extension; none is missing."""
    assert "3.0.0" == document["asyncapi"]
    for kind, found in objects(document):
        required, optional = FIELDS[kind]
        names = {name for name in found if not name.startswith("x-")}
        assert (set(), set()) == (
            required - names,
            names - required - optional,
        ), kind


def test_references_resolve(document: Document) -> None:
    """What is referred to is there."""
    found = set(references(document))
    assert "#/components/schemas/AuthorRead" in found
    for reference in found:
        assert resolve(document, reference)


def test_schemas_are_schemas(document: Document) -> None:
    """Those of AsyncAPI are JSON Schema draft 7."""
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    for name in document["components"]["messages"]:
        Draft7Validator.check_schema(payload(document, name))


def test_operations_carry_messages_of_their_channel(
    document: Document,
) -> None:
    """A request and its reply, or a push; every message is some one's."""
    carried = set()
    for operation in document["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            place = f"{part['channel']['$ref']}/messages/"
            names = [m["$ref"].removeprefix(place) for m in part["messages"]]
            assert set(names) <= set(resolve(document, place[:-1]))
            carried |= set(names)
    assert carried == set(document["components"]["messages"])


def test_every_message_is_there_once(document: Document) -> None:
    """What is registered is received, and each push is sent."""
    assert [int(p.pkg_id) for p in ROUTER] == numbers(document, "receive")
    assert [int(push) for push in ROUTER.pushes] == numbers(document, "send")
    assert sorted(PkgID) == sorted(
        numbers(document, "receive") + numbers(document, "send")
    )
    named = document["components"]["schemas"]["pkg_id"]["oneOf"]
    assert {number.name: int(number) for number in PkgID} == {
        one["title"]: one["const"] for one in named
    }


def test_our_messages_declare_what_they_say(document: Document) -> None:
    """No reply and no push of the service is left open."""
    for name, message in document["components"]["messages"].items():
        parts = message["payload"]["properties"]
        assert {} not in (parts["data"], parts.get("meta")), name
        assert {} not in parts["data"].get("anyOf", []), name


@pytest.mark.parametrize("enum", [RSPCode, CloseCode])
def test_codes_are_explained(
    document: Document, enum: type[Explained]
) -> None:
    """Each has its number, its name and a sentence."""
    close_codes = document["channels"]["web"]["x-close-codes"]
    statuses = document["components"]["schemas"]["status_code"]["oneOf"]
    described = {
        RSPCode: [
            (s["const"], s["title"], s["description"]) for s in statuses
        ],
        CloseCode: [
            (c["code"], c["name"], c["description"]) for c in close_codes
        ],
    }[enum]
    assert [(int(c), c.name, c.meaning) for c in enum] == described
    assert all(code.meaning.endswith(".") for code in enum)


async def say(
    document: Document, socket: ClientConnection, pkg_id: PkgID, data: Any
) -> Any:
    """Send a good request, and return the data of its good reply."""
    message = request(pkg_id, data)
    assert [] == faults(document, f"{pkg_id.name}.request", message)
    await socket.send(json.dumps(message))
    reply = await next_reply(socket)
    assert [] == faults(document, f"{pkg_id.name}.reply", reply)
    assert [] != faults(document, "error", reply)
    return reply["data"]


async def test_replies_are_as_described(
    service: Service, document: Document, sign_in: SignIn
) -> None:
    """One request of each kind is accepted and answered as described."""
    token = sign_in("editor")
    pushes = {"pkg_ids": [int(PkgID.AUTHORS_CHANGED)]}
    async with open_socket(service, token) as socket:

        async def done(pkg_id: PkgID, data: Any) -> Any:
            asked.add(pkg_id)
            return await say(document, socket, pkg_id, data)

        asked: set[PkgID] = set()
        author = await done(PkgID.CREATE_AUTHOR, {"name": "Ada"})
        book = await done(
            PkgID.CREATE_BOOK, {"title": "Notes", "author_id": author["id"]}
        )
        await done(PkgID.UPDATE_AUTHOR, {"id": author["id"], "name": "Eve"})
        await done(
            PkgID.UPDATE_BOOK,
            {"id": book["id"], "title": "All", "author_id": author["id"]},
        )
        filters = {"filters": {"id": author["id"]}}
        for pkg_id in (PkgID.GET_AUTHORS, PkgID.GET_PAGINATED_AUTHORS):
            assert ["Eve"] == [a["name"] for a in await done(pkg_id, filters)]
        assert ["All"] == [
            b["title"] for b in await done(PkgID.GET_BOOKS, {"limit": 1})
        ]
        await done(PkgID.DELETE_BOOK, {"id": book["id"]})
        await done(PkgID.DELETE_AUTHOR, {"id": author["id"]})
        await done(PkgID.UNSUBSCRIBE, pushes)
        await done(PkgID.SUBSCRIBE, pushes)
        await done(PkgID.AUTHENTICATE, {"token": token})
        await done(PkgID.ME, {})
    assert {package.pkg_id for package in ROUTER} == asked


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (request(PkgID.GET_AUTHORS, {"limit": 0}), RSPCode.INVALID_DATA),
        (
            request(PkgID.CREATE_AUTHOR, {"name": "A"}),
            RSPCode.PERMISSION_DENIED,
        ),
        (request(999), RSPCode.INVALID_DATA),
        ("no JSON", RSPCode.INVALID_DATA),
        (request(PkgID.AUTHENTICATE, {"token": ""}), RSPCode.UNAUTHENTICATED),
    ],
)
async def test_errors_are_as_described(
    service: Service,
    document: Document,
    sign_in: SignIn,
    text: Any,
    status: RSPCode,
) -> None:
    """They have the shape of `error`, and of no reply."""
    async with open_socket(service, sign_in("reader")) as socket:
        await socket.send(text if isinstance(text, str) else json.dumps(text))
        reply = await next_reply(socket)
    assert (status, []) == (
        reply["status_code"],
        faults(document, "error", reply),
    )
    assert [] != faults(document, "GET_AUTHORS.reply", reply)


def test_bad_requests_are_described_as_such(document: Document) -> None:
    """A client finds out before it sends them."""
    name = "CREATE_AUTHOR.request"
    bad: dict[str, Any]
    good = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
    assert [] == faults(document, name, good)
    for bad in (
        {"pkg_id": PkgID.ME},
        {"req_id": "1"},
        {"data": {}},
        {"data": {"name": ""}},
        {"data": {"name": "Ada", "age": 36}},
    ):
        assert [] != faults(document, name, {**good, **bad})


async def test_pushes_are_as_described(
    service: Service, document: Document, sign_in: SignIn
) -> None:
    """Each change that the service tells of has the row as it now is."""
    async with (
        open_socket(service, sign_in("reader")) as reader,
        open_socket(service, sign_in("editor")) as editor,
    ):
        name = {"name": "Ada"}
        author = await say(document, editor, PkgID.CREATE_AUTHOR, name)
        values = {"title": "Notes", "author_id": author["id"]}
        book = await say(document, editor, PkgID.CREATE_BOOK, values)
        for pkg_id, row in (
            (PkgID.UPDATE_BOOK, {**values, "id": book["id"], "title": "All"}),
            (PkgID.DELETE_BOOK, {"id": book["id"]}),
            (PkgID.DELETE_AUTHOR, {"id": author["id"]}),
        ):
            await say(document, editor, pkg_id, row)
        for push in await next_pushes(reader, 5):
            assert [] == push_faults(document, push)


async def test_a_broadcast_may_say_anything(
    service: Service, document: Document, sign_in: SignIn, as_user: AsUser
) -> None:
    """The document tells clients so, and what the service itself says."""
    said = {"pkg_id": PkgID.AUTHORS_CHANGED, "data": {"msg": "hello"}}
    async with (
        open_socket(service, sign_in("reader")) as socket,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        await client.post("/broadcast", json=said, headers=as_user("admin"))
        (push,) = await next_pushes(socket, 1)
    assert said["data"] == push["data"]
    assert [] == faults(document, "AUTHORS_CHANGED.push", push)
    assert [] != push_faults(document, push)


async def test_a_notice_is_as_described(
    service: Service, document: Document, sign_in: SignIn
) -> None:
    """Pushes that are lost are told of so that a program understands."""
    redis = RRedis(service.settings, service.settings.main_redis_db)
    async with open_socket(service, sign_in("reader")) as socket:
        await redis.client.hincrby("gatehouse:push:position", "seq", 1)
        (push,) = await next_pushes(socket, 1, {PkgID.SERVER_NOTICE})
    await redis.close()
    assert [] == push_faults(document, push)
    assert [] != push_faults(document, {**push, "data": {"resync": "all"}})


async def test_roles_are_those_in_force(
    make_service: MakeService, tmp_path: Path, sign_in: SignIn
) -> None:
    """Another role map changes the document, and is told of as described."""
    path = tmp_path / "actions.json"
    role_map = json.loads(ROLE_MAP)
    path.write_text(json.dumps(role_map))
    with make_service(actions_file_path=path) as service:
        before = _served(service)
        async with open_socket(service, sign_in("reader")) as socket:
            role_map["ws"]["GET_AUTHORS"] = "admin"
            path.write_text(json.dumps(role_map))
            (push,) = await next_pushes(socket, 1, {PkgID.PERMISSIONS_CHANGED})
        after = _served(service)
    assert [] == push_faults(after, push)
    names = ("receive.GET_AUTHORS", "send.AUTHORS_CHANGED", "receive.ME")
    assert ([["reader"], ["reader"], "*"], [["admin"], ["admin"], "*"]) == (
        [before["operations"][name]["x-required-roles"] for name in names],
        [after["operations"][name]["x-required-roles"] for name in names],
    )
    public = after["operations"]["receive.AUTHENTICATE"]
    assert {"x-required-roles", "security"}.isdisjoint(public)


def _served(service: Service) -> Document:
    found: Document = httpx.get(f"{service.url}/asyncapi.json").json()
    return found


def test_a_command_prints_the_same(document: Document) -> None:
    """Without a server, from the role map of the image."""
    command = [sys.executable, "-m", "app", "asyncapi"]
    printed = subprocess.run(command, check=True, capture_output=True)
    assert document == json.loads(printed.stdout)


class TheirID(IntEnum):
    """Another team's messages."""

    GREET = 1000
    PART = 1001
    GREETED = 1002


async def handler(_: RequestModel[Any], __: Context) -> ResponseModel:
    """Answer nothing."""
    raise NotImplementedError


def test_messages_that_declare_little_are_described() -> None:
    """A JSON schema moves with what it refers to; the rest may be anything."""
    node = {"$ref": "#/$defs/node"}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"root": node},
        "required": ["root"],
        "$defs": {
            "node": {
                "required": ["name"],
                "properties": {"parts": {"items": {"allOf": [node]}}},
            }
        },
    }
    router = PackageRouter()
    router.register(TheirID.GREET, json_schema=schema)(handler)
    router.register(TheirID.PART)(handler)
    router.push(TheirID.GREETED, read=None)
    rbac = RBACManager(Catalogue(ws={}, http={}, handlers={}))
    document = asyncapi_document(router, rbac)
    for reference in references(document):
        assert resolve(document, reference)
    leaf = {"name": "leaf"}
    data: Any
    for data, is_good in (
        ({"root": {"name": "root", "parts": [leaf]}}, True),
        ({"root": {"name": "root", "parts": [{}]}}, False),
        ({}, False),
        ([], False),
    ):
        found = faults(document, "GREET.request", request(1000, data))
        assert is_good == (found == [])
    reply = {**request(TheirID.PART), "status_code": 0, "meta": [1]}
    for data in ({}, [], None, 7):
        assert [] == faults(document, "PART.reply", {**reply, "data": data})
