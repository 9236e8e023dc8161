"""Where a request goes, as tables that are complete before it arrives.

Two tables, one for each protocol, built once from what the packages
declare and never changed afterwards:

`PackageRouter` maps a message's `pkg_id` to a handler and to the schema its
`data` must satisfy. A module declares its own router and registers into it;
`collect_pkg_routers` finds them all and merges them, so that a team's own
package adds commands by being installed. Ids are any `IntEnum`, because
theirs are not ours.

`RouteTable` maps an HTTP path to its route template. Permissions are written
for templates, and must be decided before anything of the request is looked
at, so the table is asked first and the framework's router only follows. What
it decides is decided nowhere else:

* `HEAD` is `GET` without a body, where there is a `GET`.
* `OPTIONS`, like every other method without a route, is 405.
* A trailing slash makes another path; there are no redirects.
* A mount answers any method below its path, as template `/mount/{path:path}`.
* A path that nothing matches is 404, whoever asks.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.routing import (
    BaseRoute,
    Mount,
    WebSocketRoute,
    compile_path,
)

from app.apps import modules
from app.constants import PROBES
from app.exceptions import MethodNotAllowed, NotFound
from app.protocols import OpenSocket
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.permissions import ANY
from app.schemas.user import UserModel
from app.storage.unit_of_work import UnitOfWork
from app.utils.claims import Claims
from app.utils.metrics import UNKNOWN
from app.utils.validation import (
    Schema,
    Validator,
    compile_validator,
    properties_of,
)

if TYPE_CHECKING:
    from app.lifespan import Container

R = TypeVar("R")

_DOCS: Final = frozenset({"docs", "openapi.json", "asyncapi.json", "console"})
_SIGNED: Final = frozenset({"/auth/backchannel-logout"})

Handler: TypeAlias = Callable[
    [RequestModel[Any], "Context"], Awaitable[ResponseModel]
]


class Socket(OpenSocket, Protocol):
    """The open socket that a message came through.

    `address` is the client's, None where the server does not know it.
    """

    address: str | None

    async def sign_in(self, token: str) -> UserModel:
        """Take the token's user as the socket's, or renew his token.

        Raises:
            Unauthenticated: The token is bad or another user's; nothing
                has changed.
        """

    def after_reply(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this when the reply to the message at hand has been sent."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler works with besides its request.

    `session` is the message's unit of work: opened before the handler,
    committed after it. `user` is None only for handlers that are public.
    """

    container: "Container"
    socket: Socket
    user: UserModel
    session: UnitOfWork


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered when all is well, as types that pydantic knows.

    This describes a handler to clients; nothing is checked against it.
    """

    data: Any
    meta: Any = None


@dataclass(frozen=True, slots=True)
class Package:
    """One kind of message: who handles it and what its data looks like.

    `reply` is None where the handler does not declare it; `permission` is
    its line in a role map; `identifies` says whether its data name one thing
    by `id`.
    """

    pkg_id: IntEnum
    handler: Handler
    schema: Schema
    validate: Validator
    public: bool
    writes: bool
    reply: Reply | None
    name: str
    permission: str
    identifies: bool

    @classmethod
    def of(
        cls,
        pkg_id: IntEnum,
        handler: Handler,
        schema: Schema,
        *,
        public: bool,
        writes: bool,
        reply: Reply | None,
    ) -> "Package":
        """Work out what every message of this kind needs."""
        return cls(
            *(pkg_id, handler, schema, compile_validator(schema)),
            public=public,
            writes=writes,
            reply=reply,
            name=pkg_id.name,
            permission=f"ws {pkg_id.name}",
            identifies=schema is None or "id" in properties_of(schema),
        )


class PackageRouter:
    """A table of the messages that are understood."""

    def __init__(self) -> None:
        self._packages: dict[int, Package] = {}
        self._pushes: dict[IntEnum, IntEnum | None] = {}
        self._push_data: dict[IntEnum, Any] = {}

    def __iter__(self) -> Iterator[Package]:
        return iter(sorted(self._packages.values(), key=lambda p: p.pkg_id))

    def register(
        self,
        pkg_id: IntEnum,
        *,
        json_schema: Schema = None,
        public: bool = False,
        writes: bool = False,
        reply: Reply | None = None,
    ) -> Callable[[Handler], Handler]:
        """Make the decorated function the handler of a message.

        Args:
            pkg_id: A member of any `IntEnum`.
            json_schema: What `data` must be: a pydantic model or a JSON
                schema, compiled here; None for any JSON object.
            public: The message needs no permission and no user.
            writes: The message changes what is stored: it is done once for
                each `req_id`, however often it comes.
            reply: What it is answered, for the AsyncAPI document.

        Raises:
            ValueError: The number has a handler already.
        """

        def add(handler: Handler) -> Handler:
            package = Package.of(
                *(pkg_id, handler, json_schema),
                public=public,
                writes=writes,
                reply=reply,
            )
            self._add(package)
            return handler

        return add

    @property
    def pushes(self) -> Mapping[IntEnum, IntEnum | None]:
        """The messages that sockets are sent unasked.

        Each has the message that reads the same: whoever may send that one
        is sent the push. None is for everybody who is signed in.
        """
        return self._pushes

    @property
    def push_data(self) -> Mapping[IntEnum, Any]:
        """The type of each push's data; None is not declared."""
        return self._push_data

    def push(
        self, pkg_id: IntEnum, *, read: IntEnum | None, data: Any = None
    ) -> None:
        """Declare a message that sockets are sent unasked.

        Args:
            pkg_id: A member of any `IntEnum`.
            read: The message whose permission it needs, None for none.
            data: What it says, for the AsyncAPI document: a type that
                pydantic knows.

        Raises:
            ValueError: The number is another push's.
        """
        if pkg_id in self._pushes:
            message = f"pkg_id {int(pkg_id)} is declared twice as a push"
            raise ValueError(message)
        self._pushes[pkg_id] = read
        self._push_data[pkg_id] = data

    def include(self, other: "PackageRouter") -> None:
        """Take over everything that another router has registered.

        Raises:
            ValueError: A number is in both.
        """
        for package in other:
            self._add(package)
        for pkg_id, read in other.pushes.items():
            self.push(pkg_id, read=read, data=other.push_data[pkg_id])

    def get(self, pkg_id: int) -> Package | None:
        """Return what was registered under this number, or None."""
        return self._packages.get(pkg_id)

    def name(self, pkg_id: int | None) -> str:
        """Return the message's name, for labels; `unknown` has no handler."""
        package = None if pkg_id is None else self._packages.get(pkg_id)
        return UNKNOWN if package is None else package.name

    def _add(self, package: Package) -> None:
        taken = self._packages.get(package.pkg_id)
        if taken is not None:
            old, new = _name(taken), _name(package)
            message = f"pkg_id {int(package.pkg_id)} is both {old} and {new}"
            raise ValueError(message)
        self._packages[int(package.pkg_id)] = package


def _name(package: Package) -> str:
    return f"{package.name} ({function_name(package.handler)})"


def function_name(function: Callable[..., Any]) -> str:
    """Say where a person finds this function."""
    name = getattr(function, "__name__", type(function).__name__)
    return f"{function.__module__}.{name}"


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    """A path template and the methods it answers; None is any method.

    `public` needs no user; `limited` is counted, whoever asks; `signed`
    brings a signed token in its body, and is counted if it is refused.
    """

    template: str
    methods: frozenset[str] | None
    public: bool
    limited: bool
    signed: bool
    pattern: re.Pattern[str]

    def allows(self, method: str) -> bool:
        """Say whether the route answers this method."""
        return self.methods is None or method in self.methods

    def resource(self, path: str) -> str | None:
        """Return what a path names by filling the template in."""
        if _is_fixed(self.template):
            return None
        match = self.pattern.match(path)
        return "/".join(match.groups()) or None if match else None


class RouteTable:
    """Every HTTP route of the service, in the order they are matched.

    Args:
        routes: The framework's routes.
        excluded_paths: Regular expression that matches the whole template
            of each public route.
    """

    def __init__(
        self, routes: Iterable[BaseRoute], excluded_paths: str
    ) -> None:
        excluded = re.compile(excluded_paths)
        self._routes = [
            HTTPRoute(
                template,
                methods,
                excluded.fullmatch(template) is not None,
                _is_limited(template),
                template in _SIGNED,
                compile_path(template)[0],
            )
            for template, methods in _templates(routes).items()
        ]
        self._fixed = {
            r.template: r for r in self._routes if _is_fixed(r.template)
        }

    def __iter__(self) -> Iterator[HTTPRoute]:
        return iter(self._routes)

    def find(self, method: str, path: str) -> HTTPRoute | None:
        """Return the route that answers this request, or None."""
        route = self._fixed.get(path)
        if route is not None and route.allows(method):
            return route
        for route in self._routes:
            if route.allows(method) and route.pattern.match(path):
                return route
        return None

    def at(self, path: str) -> HTTPRoute | None:
        """Return the first route at a path, whatever its methods, or None."""
        matching = (r for r in self._routes if r.pattern.match(path))
        return next(matching, None)

    def resolve(self, method: str, path: str) -> HTTPRoute:
        """Return the route that answers this request.

        Raises:
            NotFound: No route has this path.
            MethodNotAllowed: One has, with other methods.
        """
        route = self.find(method, path)
        if route is not None:
            return route
        matching = [r for r in self._routes if r.pattern.match(path)]
        if not matching:
            raise NotFound("There is nothing at this path")
        raise MethodNotAllowed(_with_head(matching))


def _templates(
    routes: Iterable[BaseRoute],
) -> dict[str, frozenset[str] | None]:
    templates: dict[str, frozenset[str] | None] = {}
    for route in iter_route_contexts(list(routes)):
        original = route.original_route
        if isinstance(original, WebSocketRoute) or route.path is None:
            continue
        if isinstance(original, Mount):
            templates[f"{route.path}/{{path:path}}"] = None
            continue
        known = templates.get(route.path, frozenset()) or frozenset()
        templates[route.path] = known | frozenset(route.methods or ())
    return templates


def _is_fixed(template: str) -> bool:
    return "{" not in template


def _is_limited(template: str) -> bool:
    return template not in PROBES and template.split("/")[1] not in _DOCS


def _with_head(routes: Iterable[HTTPRoute]) -> set[str]:
    methods = {m for route in routes for m in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods


def collect_subrouters(packages: Iterable[str]) -> Mapping[str, APIRouter]:
    """Find every `router` in the modules of these packages, by module.

    Raises:
        ConfigurationError: A module cannot be imported, or two packages
            have the same route.
    """
    claims = Claims()
    found: dict[str, APIRouter] = {}
    for package, module, router in _routers(packages, "router", APIRouter):
        for template, methods in _templates(router.routes).items():
            taken = methods or {ANY}
            claims.take_route(template, taken, package, module)
        found[module] = router
    return found


def collect_pkg_routers(packages: Iterable[str]) -> PackageRouter:
    """Merge every `pkg_router` in the modules of these packages.

    Raises:
        ConfigurationError: A module cannot be imported, or two messages have
            the same number or name, or one has a number of other packages.
    """
    merged, claims = PackageRouter(), Claims()
    routers = _routers(packages, "pkg_router", PackageRouter)
    for package, module, router in routers:
        for pkg_id in (*(p.pkg_id for p in router), *router.pushes):
            claims.take_number(pkg_id, package, module)
        merged.include(router)
    return merged


def _routers(
    packages: Iterable[str], name: str, kind: type[R]
) -> Iterator[tuple[str, str, R]]:
    """Find each router once, by the first module that has it."""
    seen: set[int] = set()
    for package in packages:
        for module_name, module in modules(package):
            router = getattr(module, name, None)
            if isinstance(router, kind) and id(router) not in seen:
                seen.add(id(router))
                yield package, module_name, router
